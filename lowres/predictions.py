"""Answers of every system on every test set, one JSON line an example, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts
from lowres.tasks import Prediction

if TYPE_CHECKING:
    from datasets import Dataset


def path_of(folder: Path, system: str, language: str) -> Path:
    """`predictions/<seed or system>/<language>.jsonl`."""
    return folder / system / f"{language}.jsonl"


def write(file: Path, examples: Dataset, gold_field: str, answers: Sequence[Prediction]) -> None:
    """Write all lines or none: id, gold, predicted, probability."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "id": example,
                "gold": gold,
                "predicted": answer.answer,
                "probability": _rounded(answer.probability),
            },
            ensure_ascii=False,
        )
        for example, gold, answer in zip(
            list(examples["id"]), list(examples[gold_field]), answers, strict=True
        )
    ]
    artifacts.write_text(file, "\n".join(lines) + "\n")


def read(file: Path) -> list[Prediction]:
    """What `write` wrote, rounded to four places."""
    # a file, unlike str.splitlines, ends lines nowhere but at \n: ids may hold U+2028
    with file.open(encoding="utf-8", newline="\n") as lines:
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [Prediction(row["predicted"], row["probability"]) for row in rows]


def _rounded(probability: float | list[float]) -> float | list[float]:
    if isinstance(probability, list):
        return [round(float(p), 4) for p in probability]
    return round(float(probability), 4)


class Answers:
    """All systems' predictions of a run, read when asked for."""

    def __init__(self, folder: Path, gold: dict[str, list[Any]]) -> None:
        self._folder = folder
        self._gold = gold
        self._read: dict[tuple[str, str], list[Prediction]] = {}

    def gold(self, language: str) -> list[Any]:
        """Gold labels, or lists of tags."""
        return self._gold[language]

    def has(self, system: str, language: str) -> bool:
        """Whether this system answered this language."""
        return path_of(self._folder, system, language).is_file()

    def rows(self, system: str, language: str) -> list[Prediction]:
        """Answers with their probabilities; an adapter is named by its seed."""
        key = (system, language)
        if key not in self._read:
            self._read[key] = read(path_of(self._folder, *key))
        return self._read[key]

    def labels(self, system: str, language: str) -> list[Any]:
        """Answers alone."""
        return [row.answer for row in self.rows(system, language)]
