"""Learning curves: what more labelled examples of a target bring, with a band over the draws.

A point is the mean over all trainings with so many examples (seeds times draws); its band is the
2.5th to the 97.5th percentile of them, which for five draws is hardly less than all of them. Of
fewer there are no such percentiles: the lowest and the highest stand there, and are marked. How
sure the test set makes each score is in `scores`. Zero examples are the adapter itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lowres import few_shot, variants
from lowres.comparing import OVER_TARGETS
from lowres.figures import MISSING, metric_name, number
from lowres.results import BANDED, LearningPoint, Results, Score

if TYPE_CHECKING:
    from lowres.data import LabelledData
    from lowres.recipe import Recipe

BAND = (0.025, 0.975)
RANGE = "*"
"""Behind a band that is the lowest to the highest of fewer trainings than percentiles want."""


def of_run(
    recipe: Recipe,
    data: LabelledData,
    scores: Sequence[Score],
    metric: str,
    trusted: Sequence[int],
) -> list[LearningPoint]:
    """As `points`, for the few-shot systems of a recipe."""
    return points(scores, metric, few_shot.asked(recipe), data.target_sizes, trusted)


def points(
    scores: Sequence[Score],
    metric: str,
    shots: Sequence[int | str],
    sizes: Mapping[str, int],
    trusted: Sequence[int],
) -> list[LearningPoint]:
    """The points of every target and, where there are several, of their mean.

    Args:
        scores: of the trainings of a run that did not collapse.
        metric: that is shown.
        shots: of the few-shot systems, zero left out.
        sizes: training examples of every target.
        trusted: seeds whose adapter did not collapse; no other one enters a mean, few-shot
            systems included, so that all columns are of the same seeds.
    """
    systems: dict[int | str, str] = {0: "adapter"}
    systems |= {each: variants.few_shot(each) for each in shots}
    targets = [code for code in dict.fromkeys(s.language for s in scores) if code in sizes]
    found = []
    for asked, system in systems.items():
        runs: dict[tuple[int | None, int | None], dict[str, float]] = {}
        for s in scores:
            own = (s.system, s.metric) == (system, metric) and s.language in targets
            if own and s.seed in trusted:
                runs.setdefault((s.seed, s.draw), {})[s.language] = s.value
        for code in targets:
            values = [by[code] for by in runs.values() if code in by]
            examples = sizes[code] if asked == "all" else int(asked)
            found += _point(code, str(asked), examples, metric, values)
        if len(targets) > 1:
            whole = [fmean(by.values()) for by in runs.values() if len(by) == len(targets)]
            examples = round(fmean(sizes.values())) if asked == "all" else int(asked)
            found += _point(OVER_TARGETS, str(asked), examples, metric, whole)
    return found


def _point(
    language: str, shots: str, examples: int, metric: str, values: Sequence[float]
) -> list[LearningPoint]:
    if not values:
        return []
    edges = np.quantile(values, BAND if len(values) >= BANDED else (0, 1))
    low, high = (float(edge) for edge in edges)
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
    note: str
    """In words: how to read the figures."""
    metric: str


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
    return Curves(
        tuple(sorted(columns, key=lambda c: c == "all")),
        rows,
        _gain(rows),
        _note(found),
        found[0].metric,
    )


def _note(found: Sequence[LearningPoint]) -> str:
    kinds = {point.is_range for point in found if point.low is not None}
    said = ["Mean over trainings" if kinds else "One training each: no band"]
    if False in kinds:
        said.append("in brackets the 2.5th to 97.5th percentile of them")
    if True in kinds:
        said.append(
            f"{RANGE}: fewer than five trainings, in brackets the lowest to the highest, which "
            "more of them would widen"
        )
    drawn = [point.n for point in found if point.shots not in ("0", "all")]
    if drawn and min(drawn) < BANDED:
        said.append("five draws are asked for (languages.draws)")
    return (
        f"{'; '.join(said)}. Each few-shot training has its own draw of the examples; zero-shot "
        "and all examples have none, and differ by the seed alone."
    )


def band(point: LearningPoint) -> str:
    """`, n 5` of a point with a band, `*, n 2` of one with the lowest and the highest."""
    return f"{RANGE if point.is_range else ''}, n {point.n}"


def _gain(rows: Sequence[Curve]) -> str:
    row = next((r for r in rows if r.language == OVER_TARGETS), rows[0])
    zero = row.at("0")
    parts = []
    for point in row.points:
        if point.shots == "0" or zero is None:
            continue
        edges = ""
        if point.low is not None and point.high is not None:
            low, high = (100 * (edge - zero.mean) for edge in (point.low, point.high))
            edges = f" ({low:+.1f} to {high:+.1f}{band(point)})"
        number = "all" if point.shots == "all" else f"{point.examples:,}"
        parts.append(f"{number}: {100 * (point.mean - zero.mean):+.1f}{edges}")
    if not parts:
        return ""
    where = "mean of the targets" if row.language == OVER_TARGETS else row.language
    said = f"Points of 100 over zero-shot by labelled examples a target, {where}: "
    return (said + "; ".join(parts) + ".").replace("-", "−").replace("zero−shot", "zero-shot")


def table(results: Results) -> list[RenderableType]:
    """The curves as a table of the terminal; nothing where a run has none."""
    found = of(results.learning)
    if found is None:
        return []
    title = Text(f"\nWhat a few labels bring: {metric_name(results.learning[0].metric)}")
    title.stylize("bold")
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, title=title)
    drawn.title_justify = "left"
    drawn.add_column("Target")
    for column in found.columns:
        drawn.add_column("zero-shot" if column == "0" else f"{column}\nlabels", justify="right")
    for row in found.rows:
        name = "mean" if row.language == OVER_TARGETS else row.language
        drawn.add_row(name, *(_cell(row.at(column)) for column in found.columns))
    return [drawn, Text(found.gain), Text(found.note, style="dim")]


def _cell(point: LearningPoint | None) -> Text:
    if point is None:
        return Text(MISSING)
    if point.low is None or point.high is None:
        return Text(number(point.mean))
    edges = f"\n{number(point.low)}–{number(point.high)}{band(point)}"
    return Text.assemble((number(point.mean), "bold"), (edges, "dim"))
