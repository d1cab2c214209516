"""The adapter against every other system on the same examples: paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowres import failures, stats
from lowres.data import LabelledData
from lowres.predictions import Answers
from lowres.recipe import Recipe
from lowres.results import Comparison, FailureRecord

OVER_TARGETS = "targets"
"""Stands for a language in a comparison of means over all targets."""


def of_run(
    recipe: Recipe,
    data: LabelledData,
    answers: Answers,
    systems: Sequence[str],
    rivals: Sequence[tuple[str, str]],
    metric: str,
    seed: int,
    failed: Sequence[FailureRecord],
) -> list[Comparison]:
    """All rows of a run, but for those with a training that collapsed.

    Args:
        recipe: the study.
        data: with the gold answers.
        answers: of all systems.
        systems: that need no training; they answer in a folder of their own name.
        rivals: those beside them that are trained: (name, folder of its answers).
        metric: to compare in.
        seed: of the adapter.
        failed: trainings that collapsed.
    """
    compared = [*((name, name) for name in systems), *rivals]
    rows = [
        *with_systems(recipe, data, answers, compared, metric, seed),
        *over_targets(recipe, data, answers, rivals, metric, seed),
    ]
    targets = recipe.languages.targets
    return [row for row in rows if failures.stands(row, failed, targets, seed)]


def with_systems(
    recipe: Recipe,
    data: LabelledData,
    answers: Answers,
    systems: Sequence[tuple[str, str]],
    metric: str,
    seed: int,
) -> list[Comparison]:
    """One row a language and system, where both answered.

    Args:
        recipe: the study.
        data: with the gold answers.
        answers: of all systems.
        systems: (name, folder of its answers).
        metric: to compare in.
        seed: of the adapter.
    """
    rows = []
    for language in data.tests:
        gold, own = answers.gold(language), answers.labels(str(seed), language)
        for system, where in systems:
            if answers.has(where, language):
                other = answers.labels(where, language)
                resamples = recipe.evaluate.bootstrap
                found = stats.paired(metric, gold, own, other, data.labels, resamples)
                rows.append(_row(system, language, metric, found, seed))
    return rows


def over_targets(
    recipe: Recipe,
    data: LabelledData,
    answers: Answers,
    systems: Sequence[tuple[str, str]],
    metric: str,
    seed: int,
) -> list[Comparison]:
    """One row a system: the mean over all targets, arguments as in `with_systems`."""
    rows = []
    for system, where in systems:
        tests = [
            (answers.gold(code), answers.labels(str(seed), code), answers.labels(where, code))
            for code in recipe.languages.targets
            if answers.has(where, code)
        ]
        if len(tests) == len(recipe.languages.targets):
            resamples = recipe.evaluate.bootstrap
            found = stats.paired_mean(metric, tests, data.labels, resamples)
            rows.append(_row(system, OVER_TARGETS, metric, found, seed))
    return rows


def on_examples(
    recipe: Recipe,
    data: LabelledData,
    gold: Sequence[Any],
    answered: tuple[Sequence[Any], Sequence[Any]],
    system: str,
    language: str,
    metric: str,
    seed: int,
) -> Comparison:
    """On some examples of a language, of which `answered` are the adapter's answers and the
    system's; the other arguments as in `with_systems`."""
    found = stats.paired(metric, gold, *answered, data.labels, recipe.evaluate.bootstrap)
    return _row(system, language, metric, found, seed)


def _row(system: str, language: str, metric: str, found: stats.Delta, seed: int) -> Comparison:
    return Comparison(
        a="adapter",
        b=system,
        language=language,
        metric=metric,
        delta=found.delta,
        low=found.low,
        high=found.high,
        p=found.p,
        seed=seed,
    )
