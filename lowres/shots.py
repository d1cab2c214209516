"""A few labelled examples of the targets, beside the source's or after them: few-shot transfer.

Subsets are nested (the 10 are among the 50), stratified by label or type of entity, and a function
of seed and draw; their ids are kept, so that anybody can repeat them. No dev or test example of a
target is ever among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lowres.errors import DataError
from lowres.recipe_shots import ZERO, FewShot

if TYPE_CHECKING:
    from lowres.data import LabelledData
    from lowres.recipe import Recipe

MIXED = FewShot(way="mixed")
NO_ENTITY: Final = ""
"""Stands for the type of entity of a sentence that has none."""


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
        gold_field: `label` or `tags`, which `ordered` goes by.
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


def check(
    have: Mapping[str, int],
    shots: Sequence[int | str],
    targets: tuple[str, ...],
    where: Callable[[str], str] | None = None,
) -> None:
    """Raise `DataError` that names every target which has no training data, or less than asked
    for, and says what may be asked for.

    Args:
        have: how many examples each has.
        shots: that are asked for.
        targets: that are to have so many.
        where: says where the training data of a target was looked for.
    """
    sizes = {code: have.get(code, 0) for code in targets}
    lacking = {
        code: size for code, size in sizes.items() if any(_lacks(size, asked) for asked in shots)
    }
    if not lacking:
        return
    most = max((each for each in shots if isinstance(each, int)), default=0)
    told = [
        f"{code} has {size:,}{f' ({where(code)})' if where is not None else ''}"
        for code, size in lacking.items()
    ]
    raise DataError(
        f"languages.shots: {f'{most:,}' if most else 'all'} training examples of each target are "
        f"asked for; {', '.join(told)}: {_instead(lacking)}"
    )


def _instead(lacking: Mapping[str, int]) -> str:
    """What to do about targets with so many examples."""
    bare = [code for code, size in lacking.items() if not size]
    some = [size for size in lacking.values() if size]
    out = f"leave {', '.join(bare) or 'these targets'} out"
    if not some:
        return f"give training data, or {out}"
    return f"ask for {min(some):,} at most, {'and' if bare else 'or'} {out}"


def place(recipe: Recipe, language: str) -> str:
    """Where the training data of a target is looked for, in words."""
    from lowres import data, locations

    return locations.told(data.origin_of(recipe, language), "train")


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
    check(have, recipe.languages.shots, recipe.languages.targets, partial(place, recipe))


def _lacks(have: int, asked: int | str) -> bool:
    return asked != ZERO and (have == 0 if asked == "all" else have < int(asked))


def ordered(gold: list[Any], seed: int, draw: int = 1) -> list[int]:
    """Indices in the order in which they are taken: label after label in turn, each shuffled.

    A sentence of a set with entities stands under the rarest type in it, so that the first few
    have all types; those without any have a turn of their own, the last. Other tags (parts of
    speech) are drawn at random: nearly every sentence holds all frequent ones, and turns by the
    rarest would pick lists of symbols and foreign words. The first draw is a function of the seed
    alone.
    """
    generator = np.random.default_rng(seed if draw == 1 else (seed, draw))
    shuffled = [int(i) for i in generator.permutation(len(gold))]
    strata = gold if gold and isinstance(gold[0], str) else _rarest_types(gold)
    if strata is None:
        return shuffled
    groups: dict[str, list[int]] = {}
    for index in shuffled:
        groups.setdefault(strata[index], []).append(index)
    names = sorted(groups, key=lambda name: (name == NO_ENTITY, name))
    turns = [(turn, at) for at, name in enumerate(names) for turn in range(len(groups[name]))]
    return [groups[names[at]][turn] for turn, at in sorted(turns)]


def _rarest_types(gold: Sequence[Sequence[str]]) -> list[str] | None:
    """Of each sentence the type of entity that the fewest sentences have; None where tags are no
    spans."""
    types = [{tag[2:] for tag in tags if tag.startswith(("B-", "I-"))} for tags in gold]
    counts = Counter(name for its in types for name in its)
    if not counts:
        return None
    return [min(its, key=lambda name: (counts[name], name), default=NO_ENTITY) for its in types]
