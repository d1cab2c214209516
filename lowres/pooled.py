"""How far each language is from the source in the vectors of the frozen base.

The base has read all texts for the probe, so that this costs no second pass; where no baseline asks
for vectors there is nothing. Languages are told apart there, not domains alone (`style.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lowres import artifacts, style

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset

    from lowres.data import LabelledData

FILE: Final = ".pooled.json"
"""Among the answers."""


class Sampling:
    """An `embed` that keeps a sample of what it gives: a vector a text, of tagging the mean over
    its words."""

    def __init__(self, embed: Callable[[Dataset], Any]) -> None:
        self._embed = embed
        self._kept: list[tuple[Dataset, style.Floats]] = []

    def __call__(self, examples: Dataset) -> Any:
        """What the encoder gives."""
        found = self._embed(examples)
        texts = [
            row.mean(axis=0) if row.ndim > 1 else row for row in style.spread(found) if len(row)
        ]
        self._kept.append((examples, np.array(texts, dtype=float)))
        return found

    def write(self, data: LabelledData, folder: Path) -> None:
        """The distance of each test set from the training data; no file where nobody asked."""
        source = self._of(data.train)
        if source is None:
            return
        found = {}
        for code, test in data.tests.items():
            target = self._of(test)
            distance = None if target is None else style.of_vectors(source, target)
            if distance is not None:
                found[code] = round(distance.value, 4)
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.write_text(folder / FILE, json.dumps(found) + "\n")
        self._kept.clear()

    def _of(self, examples: Dataset) -> style.Floats | None:
        return next((rows for its, rows in self._kept if its is examples), None)


def read(folder: Path) -> dict[str, float]:
    """Language to distance; empty where no baseline asked for vectors, and in a run of before."""
    file = folder / FILE
    if not file.is_file():
        return {}
    found: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
    return found
