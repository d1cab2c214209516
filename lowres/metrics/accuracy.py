"""Accuracy: the share of right answers; for tags, of words (not a mean over sentences)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Answer = str | Sequence[str]


def statistics(
    gold: Sequence[Answer], predicted: Sequence[Answer], labels: Sequence[str]
) -> Floats:
    """Right answers and all answers of every example: [examples, 2]."""
    rows = []
    for truth, answer in zip(gold, predicted, strict=True):
        if isinstance(truth, str):
            rows.append((float(truth == answer), 1.0))
        else:
            right = sum(t == a for t, a in zip(truth, answer, strict=True))
            rows.append((float(right), float(len(truth))))
    return np.asarray(rows, dtype=np.float64).reshape(-1, 2)


def from_statistics(sums: Floats, labels: Sequence[str]) -> Floats:
    """Sums of `statistics` [..., 2] to accuracy [...], 0 to 1."""
    share: Floats = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return share


class Accuracy(evaluate.Metric):
    """`evaluate.load(".../accuracy.py").compute(predictions=[...], references=[...])`."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions, references: label names, or one list of tags each",
            features=[
                datasets.Features({"predictions": kind, "references": kind})
                for kind in (datasets.List(text), text)
            ],
        )

    def _compute(
        self, predictions: Sequence[Answer], references: Sequence[Answer]
    ) -> dict[str, Any]:
        sums = statistics(references, predictions, ()).sum(axis=0)
        return {"accuracy": float(from_statistics(sums, ()))}
