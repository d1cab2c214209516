"""Learning curves: what more labelled examples of a target bring, with a band over the draws.

A point is the mean over all trainings with so many examples (seeds times draws); its band is the
2.5th to the 97.5th percentile of them, which for five draws is hardly less than all of them. How
sure the test set makes each score is in `scores`. Zero examples are the adapter itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from lowres.comparing import OVER_TARGETS
from lowres.results import LearningPoint, Score
from lowres.variants import few_shot

BAND = (0.025, 0.975)
NOTE = (
    "Mean over trainings, in brackets the 2.5th to 97.5th percentile of them; each has its own "
    "draw of the examples."
)


def points(
    scores: Sequence[Score],
    metric: str,
    shots: Sequence[int | str],
    sizes: Mapping[str, int],
    trusted: Sequence[int],
) -> list[LearningPoint]:
    """The points of every target and, where there are several, of their mean.

    Args:
        scores: of a run.
        metric: that is shown.
        shots: of the few-shot systems, zero left out.
        sizes: training examples of every target.
        trusted: seeds that enter the mean of the adapter.
    """
    systems: dict[int | str, str] = {0: "adapter"}
    systems |= {each: few_shot(each) for each in shots}
    targets = [code for code in dict.fromkeys(s.language for s in scores) if code in sizes]
    found = []
    for number, system in systems.items():
        runs: dict[tuple[int | None, int | None], dict[str, float]] = {}
        for s in scores:
            own = (s.system, s.metric) == (system, metric) and s.language in targets
            if own and (number != 0 or s.seed in trusted):
                runs.setdefault((s.seed, s.draw), {})[s.language] = s.value
        for code in targets:
            values = [by[code] for by in runs.values() if code in by]
            examples = sizes[code] if number == "all" else int(number)
            found += _point(code, str(number), examples, metric, values)
        if len(targets) > 1:
            whole = [fmean(by.values()) for by in runs.values() if len(by) == len(targets)]
            examples = round(fmean(sizes.values())) if number == "all" else int(number)
            found += _point(OVER_TARGETS, str(number), examples, metric, whole)
    return found


def _point(
    language: str, shots: str, examples: int, metric: str, values: Sequence[float]
) -> list[LearningPoint]:
    if not values:
        return []
    low, high = (float(edge) for edge in np.quantile(values, BAND))
    several = len(values) > 1
    return [
        LearningPoint(
            language=language,
            shots=shots,
            examples=examples,
            metric=metric,
            mean=fmean(values),
            low=low if several else None,
            high=high if several else None,
            n=len(values),
        )
    ]


@dataclass(frozen=True)
class Curve:
    """The points of one target, or of the mean of all, by rising number of examples."""

    language: str
    points: tuple[LearningPoint, ...]

    def at(self, shots: str) -> LearningPoint | None:
        """The point of a column."""
        return next((point for point in self.points if point.shots == shots), None)


@dataclass(frozen=True)
class Curves:
    """All curves of a run, and the columns of their table."""

    columns: tuple[str, ...]
    rows: tuple[Curve, ...]
    gain: str
    """In words: what the examples bring."""


def of(found: Sequence[LearningPoint]) -> Curves | None:
    """The curves of a run's points; None where it has no few-shot system."""
    if not any(point.shots != "0" for point in found):
        return None
    columns = dict.fromkeys(p.shots for p in sorted(found, key=lambda p: p.examples))
    rows = tuple(
        Curve(
            code,
            tuple(sorted((p for p in found if p.language == code), key=lambda p: p.examples)),
        )
        for code in dict.fromkeys(point.language for point in found)
    )
    return Curves(tuple(sorted(columns, key=lambda c: c == "all")), rows, _gain(rows))


def _gain(rows: Sequence[Curve]) -> str:
    row = next((r for r in rows if r.language == OVER_TARGETS), rows[0])
    zero = row.at("0")
    parts = []
    for point in row.points:
        if point.shots == "0" or zero is None:
            continue
        band = ""
        if point.low is not None and point.high is not None:
            low, high = (100 * (edge - zero.mean) for edge in (point.low, point.high))
            band = f" ({low:+.1f} to {high:+.1f}, n {point.n})"
        number = "all" if point.shots == "all" else f"{point.examples:,}"
        parts.append(f"{number}: {100 * (point.mean - zero.mean):+.1f}{band}")
    if not parts:
        return ""
    where = "mean of the targets" if row.language == OVER_TARGETS else row.language
    said = f"Points of 100 over zero-shot by labelled examples a target, {where}: "
    return (said + "; ".join(parts) + ".").replace("-", "−").replace("zero−shot", "zero-shot")
