"""Runs side by side: every language's score in each, and the difference from the first one by
paired bootstrap on the same test examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lowres import figures, predictions, served, stats
from lowres.errors import RunError
from lowres.results import Results, Score

TARGETS = "targets"
RESAMPLES = 1000
TRAINING = re.compile(r"train/\d+")
"""The stages that train the recipe's own task; those of controls and shots lie in folders."""


@dataclass(frozen=True)
class Cell:
    """One run on one language; `delta` with bounds and p against the first run, None for itself."""

    value: float | None
    low: float | None
    high: float | None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Line:
    """One language, or the mean over the targets that all runs have (`language` is "targets")."""

    language: str
    n: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sides:
    """What `lowres compare` shows. `seeds`: the median one of each run, whose answers are paired,
    None for what `lowres evaluate` made; scores are means over the seeds that can be trusted.
    `notes`: languages of which not all test examples are in all runs."""

    metric: str
    names: tuple[str, ...]
    seeds: tuple[int | None, ...]
    strategies: tuple[str, ...]
    """What each one trained: `train.strategy`, `train.layer_decay`, `train.freeze`."""
    seconds: tuple[float | None, ...]
    """Of training the task, mean a seed; None for what `lowres evaluate` made. So are the next
    two: no baseline, control or few-shot training is in them."""
    peak_mb: tuple[float | None, ...]
    gpu_mb: tuple[float | None, ...]
    """None on a processor too."""
    trainable: tuple[int, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Answers:
    """Of one run on one language: ids, gold and answers, in the order of the test set."""

    ids: list[str]
    gold: list[Any]
    said: list[Any]

    def only(self, ids: Sequence[str]) -> _Answers:
        at = {name: index for index, name in enumerate(self.ids)}
        kept = [at[name] for name in ids]
        return _Answers(list(ids), [self.gold[i] for i in kept], [self.said[i] for i in kept])


@dataclass(frozen=True)
class _Run:
    path: Path
    results: Results
    summary: figures.Summary
    seed: int | None
    """The one that is paired; None where `lowres evaluate` scored one adapter."""

    def has(self, language: str) -> bool:
        return self._file(language, self.seed).is_file()

    def answers(self, language: str, seed: int | None) -> _Answers:
        """Raises `RunError` for a file that is not as lowres writes it."""
        file = self._file(language, seed)
        try:
            with file.open(encoding="utf-8", newline="\n") as lines:
                rows = [json.loads(line) for line in lines]
            columns = [[row[key] for row in rows] for key in ("id", "gold", "predicted")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{file}: cannot be read as answers ({type(error).__name__}); run it again"
            ) from error
        return _Answers(*columns)

    def languages(self) -> list[str]:
        return [r.language.code for r in (*self.summary.sources, *self.summary.targets)]

    def _file(self, language: str, seed: int | None) -> Path:
        system = figures.ADAPTER if seed is None else str(seed)
        return predictions.path_of(self.path / "predictions", system, language)


def compare(paths: Sequence[Path]) -> Sides:
    """Two runs or more, or what `lowres evaluate` made, of one task.

    Raises `RunError` for a folder that is neither, for runs whose tasks, metrics or labels differ,
    without a language in common, and for a language with other test examples.
    """
    if len(paths) < 2:
        raise RunError("compare: name two runs or more (see `lowres ls runs`)")
    runs = [_open(path) for path in paths]
    first = runs[0]
    for run in runs[1:]:
        _check_alike(first, run)
    shared = [code for code in first.languages() if all(run.has(code) for run in runs)]
    if not shared:
        each = "; ".join(f"{run.path}: {', '.join(run.languages())}" for run in runs)
        raise RunError(f"compare: these runs have no language in common ({each})")
    targets = [code for code in shared if all(_role(run, code) == "target" for run in runs)]
    tests = {code: _tests(runs, code) for code in shared}
    lines = [_line(runs, {code: tests[code]}, code) for code in shared]
    if len(targets) > 1:
        lines.append(_line(runs, {code: tests[code] for code in targets}, TARGETS))
    every = {code for run in runs for code in run.languages()}
    return Sides(
        metric=first.summary.metric,
        names=tuple(_names(runs)),
        seeds=tuple(run.seed for run in runs),
        strategies=tuple(figures.trained(run.results) for run in runs),
        seconds=tuple(_of_training(run.results, "seconds") for run in runs),
        peak_mb=tuple(_of_training(run.results, "peak_mb") for run in runs),
        gpu_mb=tuple(_of_training(run.results, "gpu_mb") for run in runs),
        trainable=tuple(run.results.base.trainable_parameters for run in runs),
        lines=tuple(lines),
        left_out=tuple(sorted(every - set(shared))),
        notes=tuple(test.note(code) for code, test in tests.items() if not test.whole),
    )


def grouped(paths: Sequence[Path], by: str) -> list[served.Gaps]:
    """The targets of each run (one is enough) in groups, best first.

    Raises `RunError` for a folder that is no run, and for what a run cannot be grouped by.
    """
    kind = served.way(by)
    return [served.gaps(_open(path).results, kind) for path in paths]


def plain(found: Sides) -> dict[str, Any]:
    """As JSON."""
    return asdict(found)


def _open(path: Path) -> _Run:
    file = path / "results.json"
    try:
        results = Results.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: no finished run ({file.name}: {type(error).__name__}); see `lowres ls runs`"
        ) from error
    if not results.seeds and (path / "predictions" / figures.ADAPTER).is_dir():
        return _Run(path, results, figures.summarise(results), None)
    trusted = sorted((s.dev, s.seed) for s in results.seeds if s.status == "ok")
    if not trusted:
        raise RunError(f"{path}: no seed of this run can be trusted; there is nothing to compare")
    return _Run(path, results, figures.summarise(results), trusted[(len(trusted) - 1) // 2][1])


def _of_training(results: Results, field: str) -> float | None:
    """A field of the stages `train/<seed>`, the mean of those that have it."""
    stages = [stage for stage in results.stages if TRAINING.fullmatch(stage.name)]
    found = [value for stage in stages if (value := getattr(stage, field)) is not None]
    return fmean(found) if found else None


def _check_alike(first: _Run, other: _Run) -> None:
    tasks = [str((run.results.recipe.get("task") or {}).get("name")) for run in (first, other)]
    if tasks[0] != tasks[1]:
        raise RunError(
            f"{other.path}: task {tasks[1]}, {first.path}: task {tasks[0]}; only runs of one task "
            "can be compared"
        )
    lacking = set(first.results.labels) ^ set(other.results.labels)
    if lacking:
        named = ", ".join(sorted(lacking)[:5])
        raise RunError(
            f"{other.path}: has other labels than {first.path} ({named} in one of them only); only "
            "answers with the same labels can be compared"
        )
    if first.summary.metric != other.summary.metric:
        raise RunError(
            f"{other.path}: scored by {other.summary.metric}, {first.path} by "
            f"{first.summary.metric}; set evaluate.metrics alike"
        )


def _role(run: _Run, code: str) -> str:
    rows = (*run.summary.sources, *run.summary.targets)
    return next(row.role for row in rows if row.language.code == code)


def _names(runs: Sequence[_Run]) -> list[str]:
    names = [str(run.results.recipe.get("name", run.path.name)) for run in runs]
    return [
        name if names.count(name) == 1 else run.path.name
        for name, run in zip(names, runs, strict=True)
    ]


@dataclass(frozen=True)
class _Tests:
    """One language: the answers of every run to the examples that all of them have."""

    answers: tuple[_Answers, ...]
    sizes: tuple[int, ...]
    """Test examples of each run."""

    @property
    def whole(self) -> bool:
        return set(self.sizes) == {len(self.answers[0].ids)}

    def note(self, code: str) -> str:
        sizes = ", ".join(map(str, self.sizes))
        n = len(self.answers[0].ids)
        return f"{code}: {n} test examples are in all runs (they have {sizes}); scores are of those"


def _tests(runs: Sequence[_Run], code: str) -> _Tests:
    """Raises `RunError` where the runs were tested on other examples."""
    found = [run.answers(code, run.seed) for run in runs]
    sizes = tuple(len(one.ids) for one in found)
    if any(one.ids != found[0].ids for one in found):
        for run, one in zip(runs, found, strict=True):
            if len(set(one.ids)) < len(one.ids):
                raise RunError(
                    f"{run.path}: two test examples of {code} have one id, so that it is not known "
                    "which ones the runs share"
                )
        common = set(found[0].ids).intersection(*(one.ids for one in found[1:]))
        found = [one.only([name for name in found[0].ids if name in common]) for one in found]
    for run, one in zip(runs[1:], found[1:], strict=True):
        # ids may be numbers of lines: of another file they would have other labels
        if not one.ids or one.gold != found[0].gold:
            raise RunError(
                f"{run.path}: other test examples of {code} than {runs[0].path}; only answers to "
                "the same examples can be compared"
            )
    return _Tests(tuple(found), sizes)


def _line(runs: Sequence[_Run], tests: Mapping[str, _Tests], name: str) -> Line:
    cells = [_cell(runs[0], tests, 0)]
    metric, labels = runs[0].summary.metric, runs[0].results.labels
    for at, run in enumerate(runs[1:], start=1):
        pairs = [(one.answers[0], one.answers[at]) for one in tests.values()]
        triples = [(first.gold, other.said, first.said) for first, other in pairs]
        delta = stats.paired_mean(metric, triples, labels, RESAMPLES)
        bare = _cell(run, tests, at)
        cells.append(
            Cell(bare.value, bare.low, bare.high, delta.delta, delta.low, delta.high, delta.p)
        )
    return Line(name, sum(len(one.answers[0].ids) for one in tests.values()), tuple(cells))


def _cell(run: _Run, tests: Mapping[str, _Tests], at: int) -> Cell:
    """The mean over seeds; of several languages their mean, without an interval."""
    found = [_figure(run, code, test, at) for code, test in tests.items()]
    values = [one.value for one in found if one is not None]
    if not values:
        return Cell(None, None, None)
    alone = found[0] if len(found) == 1 else None
    return Cell(
        sum(values) / len(values),
        alone.low if alone is not None else None,
        alone.high if alone is not None else None,
    )


def _figure(run: _Run, code: str, test: _Tests, at: int) -> figures.Figure | None:
    """What the run says itself, or, where not all its examples are shared, of the shared ones."""
    shared = test.answers[at]
    if test.sizes[at] == len(shared.ids):
        rows = {row.language.code: row for row in (*run.summary.sources, *run.summary.targets)}
        return rows[code].adapter
    metric, labels = run.summary.metric, run.results.labels
    scores = []
    for seed in run.summary.trusted_seeds or (None,):
        its = run.answers(code, seed).only(shared.ids)
        found = stats.score(metric, its.gold, its.said, labels, RESAMPLES)
        scores.append(
            Score(
                system=figures.ADAPTER,
                seed=seed,
                language=code,
                role="target",
                split="test",
                metric=metric,
                **asdict(found),
            )
        )
    return figures.figure(scores)
