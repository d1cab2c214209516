"""A few labelled examples of the targets beside the source's: few-shot transfer.

Subsets are nested (the 10 are among the 50), stratified and a function of the seed; their ids are
kept, so that anybody can repeat them. Checkpoints are still chosen on source dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from lowres.data import LabelledData
from lowres.errors import DataError


def add(
    data: LabelledData, shots: int | str, targets: tuple[str, ...], gold_field: str, seed: int
) -> tuple[LabelledData, dict[str, list[str]]]:
    """The data with `shots` training examples of every target added, and their ids.

    Args:
        data: of the study.
        shots: how many a target, or `all`.
        targets: languages that get them.
        gold_field: `label` (stratified by it) or `tags` (drawn at random).
        seed: of the draw.

    Raises:
        DataError: when a target has no training data, or less than asked for.
    """
    check(data, (shots,), targets)
    parts, ids = [data.train], {}
    for language in targets:
        train = data.target_train[language]
        order = ordered(list(train[gold_field]), seed)
        chosen = train.select(order if shots == "all" else order[: int(shots)])
        ids[language] = [str(example) for example in chosen["id"]]
        parts.append(chosen.cast(data.train.features))
    joined: Dataset = concatenate_datasets(parts)
    return replace(data, train=joined), ids


def check(data: LabelledData, shots: Sequence[int | str], targets: tuple[str, ...]) -> None:
    """Raise `DataError` when a target has no training data, or less than asked for."""
    for asked in shots:
        for language in targets:
            train = data.target_train.get(language)
            have = 0 if train is None else len(train)
            if train is None or (isinstance(asked, int) and asked > have):
                raise DataError(
                    f"languages.shots: {asked} of {language}, whose training data holds {have} "
                    "examples; ask for fewer, or leave it out"
                )


def ordered(gold: list[Any], seed: int) -> list[int]:
    """Indices in the order in which they are taken: label after label in turn, each shuffled."""
    generator = np.random.default_rng(seed)
    shuffled = [int(i) for i in generator.permutation(len(gold))]
    if gold and not isinstance(gold[0], str):
        return shuffled
    groups: dict[str, list[int]] = {}
    for index in shuffled:
        groups.setdefault(gold[index], []).append(index)
    turns = [(turn, label) for label in sorted(groups) for turn in range(len(groups[label]))]
    return [groups[label][turn] for turn, label in sorted(turns)]
