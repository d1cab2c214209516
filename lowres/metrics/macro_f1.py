"""Macro-averaged F1: every label weighs the same, however rare.

The mean runs over the labels that occur in the gold answers or in the predictions, as in
scikit-learn: a gold label that the source never showed counts, with F1 0.
"""

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
    """Counts of every example: right, predicted and gold, a column a label: [examples, 3 * L].

    L counts the labels of this test set (gold or predicted), so that resamples of it are averaged
    over the same ones. `labels` is not needed here; all metrics share one signature.
    """
    pairs = [(_words(g), _words(p)) for g, p in zip(gold, predicted, strict=True)]
    present = sorted({label for pair in pairs for answers in pair for label in answers})
    column = {label: i for i, label in enumerate(present)}
    counts = np.zeros((len(pairs), 3, len(present)))
    for row, (truth, answer) in zip(counts, pairs, strict=True):
        for t, a in zip(truth, answer, strict=True):
            row[0, column[t]] += t == a
            row[1, column[a]] += 1
            row[2, column[t]] += 1
    return counts.reshape(len(pairs), 3 * len(present))


def from_statistics(sums: Floats, labels: Sequence[str]) -> Floats:
    """Sums of `statistics` [..., 3 * L] to macro-F1 [...], 0 to 1.

    F1 = 2 right / (predicted + gold); a label of the set that a resample lacks counts as 0, as
    scikit-learn has it.
    """
    parts = sums.reshape(*sums.shape[:-1], 3, -1)
    total = parts[..., 1, :] + parts[..., 2, :]
    f1 = 2 * parts[..., 0, :] / np.maximum(total, 1)
    mean: Floats = f1.mean(axis=-1)
    return mean


def _words(answer: Answer) -> Sequence[str]:
    return (answer,) if isinstance(answer, str) else answer


class MacroF1(evaluate.Metric):
    """`evaluate.load(".../macro_f1.py").compute(predictions=[...], references=[...])`."""

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
        return {"macro_f1": float(from_statistics(sums, ()))}
