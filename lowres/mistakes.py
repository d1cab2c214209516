"""Where the adapter went wrong: confusion counts, and the surest wrong answers to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lowres.data import LabelledData
from lowres.predictions import Answers
from lowres.results import Confusion, Mistake
from lowres.tasks import Prediction

if TYPE_CHECKING:
    from datasets import Dataset

MISTAKES = 20
"""Readable errors a language."""


def confusions(data: LabelledData, answers: Answers, seed: int) -> list[Confusion]:
    """Gold by predicted, words for tagging (entity types without their B- and I-)."""
    found = []
    for language in data.tests:
        gold = _flat(answers.gold(language))
        predicted = _flat(answers.labels(str(seed), language))
        labels = list(dict.fromkeys([*(_type(label) for label in data.labels), *sorted(set(gold))]))
        index = {label: i for i, label in enumerate(labels)}
        counts = np.zeros((len(labels), len(labels)), dtype=int)
        np.add.at(counts, ([index[g] for g in gold], [index[p] for p in predicted]), 1)
        found.append(Confusion(language=language, labels=labels, counts=counts.tolist()))
    return found


def _flat(rows: Sequence[Any]) -> list[str]:
    return [_type(tag) for row in rows for tag in (row if isinstance(row, list) else [row])]


def _type(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def surest(data: LabelledData, answers: Answers, seed: int) -> list[Mistake]:
    """The surest wrong answers of each language: they teach most."""
    found = []
    for language, test in data.tests.items():
        wrong = [
            (i, gold, row)
            for i, (gold, row) in enumerate(
                zip(answers.gold(language), answers.rows(str(seed), language), strict=True)
            )
            if gold != row.answer
        ]
        wrong.sort(key=lambda item: (-_least(item[2].probability), item[0]))
        found += [_mistake(language, test, i, gold, row) for i, gold, row in wrong[:MISTAKES]]
    return found


def _least(probability: float | list[float]) -> float:
    return min(probability, default=0.0) if isinstance(probability, list) else probability


def _mistake(language: str, test: Dataset, index: int, gold: Any, row: Prediction) -> Mistake:
    example = test[index]
    if not isinstance(gold, list):
        text = " ⟶ ".join(example[f] for f in ("text", "text_pair") if f in example)
        return Mistake(
            language=language,
            id=str(example["id"]),
            text=text,
            gold=gold,
            predicted=str(row.answer),
            probability=_least(row.probability),
        )
    words = [
        (word, g, p)
        for word, g, p in zip(example["tokens"], gold, row.answer, strict=True)
        if g != p
    ]
    return Mistake(
        language=language,
        id=str(example["id"]),
        text=" ".join(example["tokens"]),
        gold=", ".join(f"{word}/{g}" for word, g, _ in words),
        predicted=", ".join(f"{word}/{p}" for word, _, p in words),
        probability=_least(row.probability),
    )
