"""The few-shot systems of a study: which trainings there are, and what each of them goes by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lowres.recipe import Recipe
from lowres.recipe_shots import ZERO, FewShot
from lowres.recipe_strategies import few_shot_rate
from lowres.results import DrawRecord
from lowres.variants import Variant, few_shot

if TYPE_CHECKING:
    from lowres.artifacts import RunFolder
    from lowres.bases import LocatedBase


def settings(recipe: Recipe) -> FewShot:
    """The recipe's own section, or what stands for an absent one."""
    if recipe.few_shot is not None:
        return recipe.few_shot
    return FewShot(**few_shot_rate(recipe.train.strategy.rates))


def asked(recipe: Recipe) -> tuple[int | str, ...]:
    """`languages.shots` without the zero, which is the adapter itself."""
    return tuple(each for each in recipe.languages.shots if each != ZERO)


def variants(recipe: Recipe, located: LocatedBase) -> list[Variant]:
    """A variant for each number of shots, draw and (unless they train together) target.

    Args:
        recipe: the study.
        located: the base as the recipe's own training has it.
    """
    return [
        Variant(few_shot(shots), located, place, shots, draw, targets, len(targets) == every)
        for every in (len(recipe.languages.targets),)
        for shots, draw, targets, place in _each(recipe)
    ]


def places(recipe: Recipe) -> list[str]:
    """The folders of these variants, in the same order."""
    return [place for *_, place in _each(recipe)]


def _each(recipe: Recipe) -> Iterator[tuple[int | str, int, tuple[str, ...], str]]:
    targets = recipe.languages.targets
    apart = len(targets) > 1 and not settings(recipe).together
    groups = [(code,) for code in targets] if apart else [targets]
    for shots in asked(recipe):
        # of all examples there is one subset
        draws = 1 if shots == "all" else recipe.languages.draws
        for draw in range(1, draws + 1):
            for group in groups:
                parts = [f"shots/{shots}", *(group if apart else ())]
                parts += [f"draw-{draw}"] * (draws > 1)
                yield shots, draw, group, f"{'/'.join(parts)}/"


def drawn(folder: RunFolder, controls: Sequence[Variant], seeds: Sequence[int]) -> list[DrawRecord]:
    """Ids of the largest subset of each target, seed and draw, from the trainings' manifests; the
    smaller ones begin it."""
    found: dict[tuple[str, int, int], list[str]] = {}
    for variant in controls:
        for seed in seeds if variant.shots is not None else ():
            manifest = folder.manifest(variant.training(seed))
            assert manifest is not None, "trained before its examples are listed"
            for language, ids in manifest.notes["target_examples"].items():
                key = (language, seed, variant.draw or 1)
                found[key] = max(found.get(key, []), ids, key=len)
    return [
        DrawRecord(language=language, seed=seed, draw=draw, ids=ids)
        for (language, seed, draw), ids in found.items()
    ]


def continues(recipe: Recipe, variant: Variant) -> bool:
    """Whether a variant trains on from the zero-shot adapter of the same seed."""
    return variant.shots is not None and settings(recipe).way == "continued"


def recipe_of(recipe: Recipe, variant: Variant) -> Recipe:
    """The recipe that a variant is trained by: another `train` section where it goes on."""
    if not continues(recipe, variant):
        return recipe
    few, train = settings(recipe), recipe.train
    changed: dict[str, Any] = {
        "epochs": few.epochs,
        "steps": None,
        "learning_rate": few.learning_rate,
        "head_learning_rate": few.head_learning_rate,
        "batch": few.batch,
        "micro_batch": math.gcd(few.batch, train.micro_batch)
        if isinstance(train.micro_batch, int)
        else train.micro_batch,
        "checkpoint": few.checkpoint,
        "patience": None,
        "augment": (),
    }
    return recipe.model_copy(update={"train": train.model_copy(update=changed)})


def plain(recipe: Recipe, labels: Sequence[str]) -> list[Any]:
    """What the few-shot systems go by, for fingerprints; empty where there are none."""
    if not asked(recipe):
        return []
    # sentences with entities were once drawn at random: those trainings saw other examples
    drawn_by = ["types of entities"] if any(label.startswith("B-") for label in labels) else []
    return [settings(recipe).model_dump(mode="json"), *drawn_by]
