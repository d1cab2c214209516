"""Runs side by side: every language's score in each, and the difference from the first one by
paired bootstrap on the same test examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lowres import figures, predictions, stats
from lowres.errors import RunError
from lowres.results import Results

TARGETS = "targets"
RESAMPLES = 1000


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
    """What `lowres compare` shows. `seeds`: the median one of each run, whose answers are paired;
    scores are means over the seeds that can be trusted."""

    metric: str
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]
    peak_mb: tuple[float, ...]
    trainable: tuple[int, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    path: Path
    results: Results
    summary: figures.Summary
    seed: int

    def answers(self, language: str) -> tuple[list[str], list[Any], list[Any]] | None:
        """Ids, gold and answers of the paired seed; None where the run has none."""
        file = predictions.path_of(self.path / "predictions", str(self.seed), language)
        if not file.is_file():
            return None
        with file.open(encoding="utf-8", newline="\n") as lines:
            rows = [json.loads(line) for line in lines]
        return tuple([row[key] for row in rows] for key in ("id", "gold", "predicted"))  # type: ignore[return-value]


def compare(paths: Sequence[Path]) -> Sides:
    """Two runs or more, of one task and with the same test examples.

    Raises `RunError` for a folder that is no finished run, for runs whose metrics or labels differ,
    and for the same language with other examples.
    """
    if len(paths) < 2:
        raise RunError("compare: name two runs or more (see `lowres ls runs`)")
    runs = [_open(path) for path in paths]
    first = runs[0]
    for run in runs[1:]:
        _check_alike(first, run)
    shared = [
        row.language.code
        for row in (*first.summary.sources, *first.summary.targets)
        if all(run.answers(row.language.code) is not None for run in runs)
    ]
    if not shared:
        raise RunError("compare: these runs have no language in common")
    targets = [code for code in shared if all(_role(run, code) == "target" for run in runs)]
    lines = [_line(runs, [code], code) for code in shared]
    if len(targets) > 1:
        lines.append(_line(runs, targets, TARGETS))
    every = {r.language.code for run in runs for r in (*run.summary.sources, *run.summary.targets)}
    return Sides(
        metric=first.summary.metric,
        names=tuple(_names(runs)),
        seeds=tuple(run.seed for run in runs),
        seconds=tuple(run.results.resources.seconds for run in runs),
        peak_mb=tuple(run.results.resources.peak_mb for run in runs),
        trainable=tuple(run.results.base.trainable_parameters for run in runs),
        lines=tuple(lines),
        left_out=tuple(sorted(every - set(shared))),
    )


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
    trusted = sorted((s.dev, s.seed) for s in results.seeds if s.status == "ok")
    if not trusted:
        raise RunError(f"{path}: no seed of this run can be trusted; there is nothing to compare")
    return _Run(path, results, figures.summarise(results), trusted[(len(trusted) - 1) // 2][1])


def _check_alike(first: _Run, other: _Run) -> None:
    if first.summary.metric != other.summary.metric:
        raise RunError(
            f"{other.path}: scored by {other.summary.metric}, {first.path} by "
            f"{first.summary.metric}; set evaluate.metrics alike"
        )
    if set(first.results.labels) != set(other.results.labels):
        raise RunError(f"{other.path}: has other labels than {first.path}: other data, or a map")


def _role(run: _Run, code: str) -> str:
    rows = (*run.summary.sources, *run.summary.targets)
    return next(row.role for row in rows if row.language.code == code)


def _names(runs: Sequence[_Run]) -> list[str]:
    names = [str(run.results.recipe.get("name", run.path.name)) for run in runs]
    return [
        name if names.count(name) == 1 else run.path.name
        for name, run in zip(names, runs, strict=True)
    ]


def _line(runs: Sequence[_Run], codes: Sequence[str], name: str) -> Line:
    tests = [[_answered(run, code) for code in codes] for run in runs]
    for run, own in zip(runs[1:], tests[1:], strict=True):
        for code, here, there in zip(codes, tests[0], own, strict=True):
            if here[:2] != there[:2]:
                raise RunError(
                    f"{run.path}: other test examples of {code} than {runs[0].path}; only answers "
                    "to the same examples can be compared"
                )
    cells = [_cell(runs[0], codes)]
    for run, own in zip(runs[1:], tests[1:], strict=True):
        triples = [(a[1], b[2], a[2]) for a, b in zip(tests[0], own, strict=True)]
        metric, labels = runs[0].summary.metric, runs[0].results.labels
        delta = stats.paired_mean(metric, triples, labels, RESAMPLES)
        bare = _cell(run, codes)
        cells.append(
            Cell(bare.value, bare.low, bare.high, delta.delta, delta.low, delta.high, delta.p)
        )
    return Line(name, sum(len(test[0]) for test in tests[0]), tuple(cells))


def _answered(run: _Run, code: str) -> tuple[list[str], list[Any], list[Any]]:
    found = run.answers(code)
    assert found is not None, "only languages that all runs answered"
    return found


def _cell(run: _Run, codes: Sequence[str]) -> Cell:
    """The mean over seeds; of several languages their mean, without an interval."""
    rows = {row.language.code: row for row in (*run.summary.sources, *run.summary.targets)}
    found = [rows[code].adapter for code in codes]
    values = [one.value for one in found if one is not None]
    if not values:
        return Cell(None, None, None)
    alone = found[0] if len(found) == 1 else None
    return Cell(
        sum(values) / len(values),
        alone.low if alone is not None else None,
        alone.high if alone is not None else None,
    )
