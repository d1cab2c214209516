"""A study with translations that takes a second: a language of words turned around."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_study

from lowres.recipe import Recipe
from lowres.recipe_loading import from_mapping

TARGET = "swh_Latn"
OTHER = "yor_Latn"


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """A JSON line a row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")


def change(file: Path, how: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """The rows of a file, changed."""
    write(file, how([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]))


def examples(task: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Of `tiny_study`, the fields of files alone."""
    fields = ("id", "tokens", "tags") if task == "tagging" else ("id", "text", "label")
    return [{key: row[key] for key in fields} for row in tiny_study.examples(task, count, seed)]


def in_target(row: dict[str, Any], sign: str = "") -> dict[str, Any]:
    """Words turned around, one by one, in their order: a language of its own; `sign` behind each
    makes it another one."""
    words = row["tokens"] if "tokens" in row else row["text"].split()
    turned = [word[::-1] + sign for word in words]
    return {**row, **({"tokens": turned} if "tokens" in row else {"text": " ".join(turned)})}


def recipe(
    folder: Path,
    base: Path,
    task: str = "classification",
    targets: tuple[str, ...] = (TARGET,),
    settings: dict[str, Any] | None = None,
    **section: Any,
) -> Recipe:
    """Files below `folder`; `section` is laid over `translated`, `settings` over `train`.

    Translations for training stand in another order, with one more, and without labels.
    """
    sets = {split: examples(task, n, s) for split, n, s in (("train", 24, 1), ("dev", 9, 2))}
    sets["test"] = examples(task, 24, 3)
    for split, rows in sets.items():
        write(folder / f"eng_Latn/{split}.jsonl", rows)
    for code in targets:
        sign = "" if code == TARGET else "u"
        write(folder / f"{code}/test.jsonl", [in_target(row, sign) for row in sets["test"]])
        made = [in_target(row, sign) for row in reversed(sets["train"])]
        for row in made:
            row.pop("label", None)
            row.pop("tags", None)
        write(folder / f"into/{code}.jsonl", [*made, {**made[0], "id": "spare"}])
        write(folder / f"from/{code}.jsonl", sets["test"])
    named = {"train": str(folder / "into/{lang}.jsonl"), "test": str(folder / "from/{lang}.jsonl")}
    return from_mapping(
        {
            "name": "translated",
            "base": {"name": str(base), "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": list(targets)},
            "data": {"files": str(folder / "{lang}/{split}.jsonl")},
            "task": {"name": task},
            "lora": {"rank": 4},
            "train": {
                "epochs": 3,
                "batch": 8,
                "max_tokens": 24,
                "precision": "fp32",
                "learning_rate": 1e-2,
                "head_learning_rate": 3e-2,
                **(settings or {}),
            },
            "evaluate": {"baselines": ["majority"], "bootstrap": 100},
            "translated": {**named, **section},
        }
    )
