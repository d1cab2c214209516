"""Span F1 over BIO tags: a span is right when its type and both of its ends are.

The rules are those of conlleval (CoNLL-2003) and of seqeval's default mode. BIO is repaired as
they do: an `I-X` that follows no `B-X` or `I-X` begins a span. The figure is micro-averaged over
all spans of all types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Span = tuple[str, int, int]


def spans(tags: Sequence[str]) -> set[Span]:
    """Spans of one sentence: type, first word, word after the last."""
    found: set[Span] = set()
    kind, start = "", 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, now = tag.partition("-")
        inside = prefix == "I" and now == kind != ""
        if not inside:
            if kind:
                found.add((kind, start, i))
            kind, start = (now, i) if prefix in ("B", "I") else ("", i)
    return found


def repairs(tags: Sequence[str]) -> int:
    """How many `I-X` of one sentence follow no `B-X` or `I-X` and were read as `B-X`."""
    before = ["O", *tags]
    return sum(
        tag.startswith("I-") and last[2:] != tag[2:]
        for last, tag in zip(before, tags, strict=False)
    )


def statistics(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Sequence[str]
) -> Floats:
    """Right, superfluous and missed spans of every sentence, a column a type: [examples, 3 * T].

    T counts the types of this test set (gold or predicted) and of `labels`.
    """
    pairs = [(spans(g), spans(p)) for g, p in zip(gold, predicted, strict=True)]
    kinds = {span[0] for pair in pairs for found in pair for span in found}
    kinds |= {label[2:] for label in labels if label[:2] in ("B-", "I-")}
    column = {kind: i for i, kind in enumerate(sorted(kinds))}
    counts = np.zeros((len(pairs), 3, len(column)))
    for row, (truth, answer) in zip(counts, pairs, strict=True):
        for place, found in enumerate((truth & answer, answer - truth, truth - answer)):
            for kind, _, _ in found:
                row[place, column[kind]] += 1
    return counts.reshape(len(pairs), 3 * len(column))


def from_statistics(sums: Floats, labels: Sequence[str]) -> Floats:
    """Sums of `statistics` [..., 3 * T] to span F1 [...], 0 to 1; 0 where there is no span."""
    right, superfluous, missed = np.moveaxis(
        sums.reshape(*sums.shape[:-1], 3, -1).sum(axis=-1), -1, 0
    )
    f1: Floats = 2 * right / np.maximum(2 * right + superfluous + missed, 1)
    return f1


class SpanF1(evaluate.Metric):
    """`evaluate.load(".../span_f1.py").compute(predictions=[[...]], references=[[...]])`."""

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.List(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419",
            inputs_description="predictions, references: one list of BIO tags a sentence",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(
        self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
    ) -> dict[str, Any]:
        sums = statistics(references, predictions, ()).sum(axis=0)
        return {
            "span_f1": float(from_statistics(sums, ())),
            "repaired": sum(repairs(tags) for tags in predictions),
        }
