"""A few labelled examples of the targets, beside the source's or after them: few-shot transfer.

Subsets are nested (the 10 are among the 50), stratified and a function of seed and draw; their ids
are kept, so that anybody can repeat them. No dev or test example of a target is ever among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowres.errors import DataError
from lowres.recipe_shots import ZERO, FewShot

if TYPE_CHECKING:
    from lowres.data import LabelledData
    from lowres.recipe import Recipe

MIXED = FewShot(way="mixed")


def add(
    data: LabelledData,
    shots: int | str,
    targets: tuple[str, ...],
    gold_field: str,
    seed: int,
    draw: int = 1,
    few: FewShot = MIXED,
) -> tuple[LabelledData, dict[str, list[str]]]:
    """The data of a study with another `train`: `shots` training examples of every target, beside
    the source's (mixed) or without most of them (continued); and their ids, in drawing order.

    Args:
        data: of the study.
        shots: how many a target, or `all`.
        targets: languages that get them.
        gold_field: `label` (stratified by it) or `tags` (drawn at random).
        seed: of the training.
        draw: which of the seed's draws, from 1 on.
        few: how they are trained on.

    Raises:
        DataError: when a target has no training data, or less than asked for.
    """
    from datasets import concatenate_datasets

    check(data.target_sizes, (shots,), targets)
    chosen, ids = [], {}
    for language in targets:
        train = data.target_train[language]
        order = ordered(list(train[gold_field]), seed, draw)
        taken = train.select(order if shots == "all" else order[: int(shots)])
        ids[language] = [str(example) for example in taken["id"]]
        chosen.append(taken.cast(data.train.features))
    if few.way == "mixed":
        parts = [data.train, *(part for part in chosen for _ in range(few.repeats))]
    else:
        parts = [*chosen, *_replayed(data.train, few.replay * sum(map(len, chosen)), seed, draw)]
    return replace(data, train=concatenate_datasets(parts)), ids


def _replayed(source: Any, count: int, seed: int, draw: int) -> list[Any]:
    """So many examples of the source, as many as there are at most."""
    if not count:
        return []
    order = np.random.default_rng((seed, draw)).permutation(len(source))[:count]
    return [source.select([int(at) for at in order])]


def check(have: Mapping[str, int], shots: Sequence[int | str], targets: tuple[str, ...]) -> None:
    """Raise `DataError` that names every target which has no training data, or less than asked
    for; `have` is how many examples each has."""
    lacking = [
        f"{code} has {have.get(code, 0):,}"
        for code in targets
        if any(_lacks(have.get(code, 0), asked) for asked in shots)
    ]
    if lacking:
        most = max((each for each in shots if isinstance(each, int)), default=0)
        wanted = "all" if not most else f"{most:,}"
        raise DataError(
            f"languages.shots: {wanted} of each target are asked for, and the training data of "
            f"{', '.join(lacking)} examples; ask for fewer, or leave these targets out"
        )


def check_files(recipe: Recipe) -> None:
    """As `check`, on files that are only counted; what is on the Hub is left for the run."""
    from lowres import data

    source = data.source_columns(recipe, "train") if recipe.languages.shots else None
    if source is None or recipe.data.files is None:
        return
    gold, have = recipe.task.gold_field, {}
    for language in recipe.languages.targets:
        columns = data.columns_of(recipe, language, "train")
        labels = [] if columns is None else columns[gold]
        # what the source never shows is not trained on
        have[language] = sum(gold == "tags" or label in source[gold] for label in labels)
    check(have, recipe.languages.shots, recipe.languages.targets)


def _lacks(have: int, asked: int | str) -> bool:
    return asked != ZERO and (have == 0 if asked == "all" else have < int(asked))


def ordered(gold: list[Any], seed: int, draw: int = 1) -> list[int]:
    """Indices in the order in which they are taken: label after label in turn, each shuffled.

    The first draw is a function of the seed alone.
    """
    generator = np.random.default_rng(seed if draw == 1 else (seed, draw))
    shuffled = [int(i) for i in generator.permutation(len(gold))]
    if gold and not isinstance(gold[0], str):
        return shuffled
    groups: dict[str, list[int]] = {}
    for index in shuffled:
        groups.setdefault(gold[index], []).append(index)
    turns = [(turn, label) for label in sorted(groups) for turn in range(len(groups[label]))]
    return [groups[label][turn] for turn, label in sorted(turns)]
