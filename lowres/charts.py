"""Charts as inline SVG: across in per cent and down in pixels, so that text and strokes keep their
size from phone to desk without a script. Colours are classes that the page's style sheet fills.

Everything goes through ElementTree: what data holds is escaped by construction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from lowres.figures import (
    ADAPTER,
    MISSING,
    STATUSES,
    LanguageRow,
    Summary,
    heading,
    metric_name,
    number,
    signed,
)
from lowres.results import CurvePoint, LearningPoint, Results

TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
ADAPTER_PX, BASELINE_PX, GAP_PX = 13, 6, 3
PLOT_PX = 190
LETTER_SHARE = 0.022
"""Of the width of a panel on a telephone, which a figure of a label takes."""
MAX_POINTS = 240
"""Points a line: more than a screen can tell apart only makes the file heavy."""


def system_class(system: str) -> str:
    """CSS class of a system; systems this file has never heard of share one."""
    lexical = {"lookup": "tfidf", "lookup-target": "tfidf-target"}
    name = lexical.get(system, system)
    known = (ADAPTER, "majority", "tfidf", "probe", "tfidf-target")
    return f"s-{name}" if name in known else "s-other"


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def _svg(height: float, key: str, title: str, description: str) -> Element:
    ids = f"{key}-title", f"{key}-desc"
    svg = Element(
        "svg",
        {"width": "100%", "height": f"{height:g}", "role": "img", "aria-labelledby": " ".join(ids)},
    )
    SubElement(svg, "title", {"id": ids[0]}).text = title
    SubElement(svg, "desc", {"id": ids[1]}).text = description
    return svg


def _line(parent: Element, css: str, x1: float, y1: float, x2: float, y2: float) -> None:
    """x in shares of the width, y in pixels."""
    SubElement(
        parent,
        "line",
        {"class": css, "x1": _percent(x1), "x2": _percent(x2), "y1": f"{y1:g}", "y2": f"{y2:g}"},
    )


def _text(parent: Element, css: str, x: float, y: float, anchor: str, text: str) -> None:
    SubElement(
        parent, "text", {"class": css, "x": _percent(x), "y": f"{y:g}", "text-anchor": anchor}
    ).text = text


def _markup(svg: Element) -> Markup:
    # method="html" closes every element in full, which strict HTML readers want
    return Markup(ElementTree.tostring(svg, encoding="unicode", method="html"))


def _grid(svg: Element, height: float) -> None:
    for tick in TICKS:
        _line(svg, "grid", tick, 0, tick, height)


def axis(key: str) -> Markup:
    """The scale 0 to 1 that stands above bars; decoration, the rows carry their figures."""
    svg = Element("svg", {"width": "100%", "height": "20", "aria-hidden": "true"})
    for tick in TICKS:
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        _text(svg, "tick", tick, 13, anchor, f"{tick:g}")
    svg.set("data-chart", key)
    return _markup(svg)


def _whisker(parent: Element, low: float, high: float, y: float, cap: float, css: str) -> None:
    _line(parent, css, low, y, high, y)
    for end in (low, high):
        _line(parent, css, end, y - cap, end, y + cap)


def _bar(svg: Element, system: str, y: float, height: float, value: float) -> Element:
    group = SubElement(svg, "g")
    SubElement(
        group,
        "rect",
        {
            "class": f"bar {system_class(system)}",
            "x": "0",
            "y": f"{y:g}",
            "width": _percent(value),
            "height": f"{height:g}",
            "rx": "1.5",
        },
    )
    return group


def language_bars(row: LanguageRow, summary: Summary, key: str) -> Markup:
    """The systems on one language as bars with 95% whiskers; the source's score as a dashed line.

    The adapter's bar is first and thick; a system without a score leaves its place empty.
    """
    height = 4 + ADAPTER_PX + len(summary.baselines) * (BASELINE_PX + GAP_PX) + 6
    said = [
        f"{heading(system)} {number(found.value)} ({number(found.low)} to {number(found.high)})"
        for system in summary.systems
        if (found := row.figures.get(system)) is not None
    ]
    title = f"{row.language.name} ({row.language.code}): {metric_name(summary.metric)} by system"
    svg = _svg(height, key, title, "; ".join(said) or "no score that can be trusted")
    _grid(svg, height)
    if summary.source_value is not None and row.role == "target":
        _line(svg, "source-line", summary.source_value, 0, summary.source_value, height)
    y = 4.0
    for system in (ADAPTER, *summary.baselines):
        thick = ADAPTER_PX if system == ADAPTER else BASELINE_PX
        found = row.figures.get(system)
        if found is not None:
            group = _bar(svg, system, y, thick, found.value)
            SubElement(group, "title").text = (
                f"{heading(system)}: {number(found.value)}, "
                f"95% {number(found.low)} to {number(found.high)}"
            )
            cap, css = (4.0, "whisker") if system == ADAPTER else (2.0, "whisker thin")
            _whisker(group, found.low, found.high, y + thick / 2, cap, css)
        y += thick + GAP_PX
    return _markup(svg)


def average_bar(system: str, mean: float, sd: float | None, key: str, title: str) -> Markup:
    """One bar of the opening picture; the whisker is ± one standard deviation over seeds."""
    spread = "" if sd is None else f", standard deviation over seeds {number(sd)}"
    svg = _svg(22, key, title, f"{number(mean)}{spread}")
    _grid(svg, 22)
    group = _bar(svg, system, 2, 18, mean)
    if sd is not None:
        _whisker(group, mean - sd, mean + sd, 11, 5, "whisker")
    return _markup(svg)


def gap_row(row: LanguageRow, source: float, key: str) -> Markup:
    """From the target's score to the source's: the longer the line, the more was lost."""
    title = f"{row.language.name} ({row.language.code}): distance to the source"
    value = row.adapter.value if row.adapter else None
    said = MISSING if value is None else f"{number(value)}, {signed(value - source)} to the source"
    svg = _svg(24, key, title, said)
    _grid(svg, 24)
    if value is not None:
        _line(svg, "gap", value, 12, source, 12)
    _line(svg, "source-line", source, 0, source, 24)
    if value is not None:
        SubElement(
            svg, "circle", {"class": "dot s-adapter", "cx": _percent(value), "cy": "12", "r": "5.5"}
        )
    return _markup(svg)


@dataclass(frozen=True)
class CurveChart:
    """A panel of learning curves; `seeds`: (legend, CSS class) of each line."""

    name: str
    title: str
    svg: Markup
    seeds: tuple[tuple[str, str], ...]


def curve_charts(results: Results) -> tuple[CurveChart, ...]:
    """One panel for the loss and one for each dev metric, a line a seed."""
    named = dict.fromkeys(p.name for p in results.curves if math.isfinite(p.value))
    shown = [name for name in named if name == "loss" or name.startswith("dev ")]
    return tuple(_curve_chart(results, name) for name in sorted(shown, key=lambda n: n != "loss"))


def _curve_chart(results: Results, name: str) -> CurveChart:
    points = [p for p in results.curves if p.name == name and math.isfinite(p.value)]
    records = {record.seed: record for record in results.seeds}
    last_step = max(p.step for p in points) or 1
    is_loss = name == "loss"
    top = _nice_top(max(p.value for p in points)) if is_loss else 1.0
    metric = metric_name(name.removeprefix("dev "))
    title = "Training loss" if is_loss else f"Source dev {metric}"
    by_seed = {
        seed: [p for p in points if p.seed == seed]
        for seed in dict.fromkeys(p.seed for p in points)
    }
    ends = "; ".join(f"seed {s} ends at {number(mine[-1].value)}" for s, mine in by_seed.items())
    key = "curve-" + "".join(c if c.isalnum() else "-" for c in name)
    svg = _svg(PLOT_PX + 24, key, f"{title} by step", ends)
    scale = Scale(0.0, top, top / 4)
    plot = _frame(svg, scale, last_step)
    legend = []
    for index, (seed, mine) in enumerate(by_seed.items()):
        css = f"curve c{index % 5}"
        record = records.get(seed)
        trouble = "" if record is None or record.status == "ok" else STATUSES[record.status]
        legend.append((f"seed {seed}" + (f" ({trouble})" if trouble else ""), css))
        for run in _runs(mine):
            places = [(1000 * p.step / last_step, scale.height(p.value)) for p in run]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            SubElement(plot, "polyline", {"class": css, "points": line})
        if not is_loss:
            best = record.best_step if record is not None else -1
            _dots(svg, mine, best, last_step, css, scale)
    return CurveChart(name, title, _markup(svg), tuple(legend))


@dataclass(frozen=True)
class LearningChart:
    """A panel: the score by labelled examples, with the band of the trainings."""

    language: str
    svg: Markup


def learning_charts(found: Sequence[LearningPoint]) -> tuple[LearningChart, ...]:
    """One panel a target, and one for their mean, all on one scale; none without few-shot
    systems."""
    codes = dict.fromkeys(p.language for p in found if p.examples > 0)
    scale = _span(found) if codes else Scale(0.0, 1.0, 0.25)
    return tuple(
        LearningChart(code, _learning_chart([p for p in found if p.language == code], scale))
        for code in codes
    )


def _learning_chart(found: Sequence[LearningPoint], scale: Scale) -> Markup:
    points = sorted(found, key=lambda p: p.examples)
    most = max(p.examples for p in points)
    key = f"learning-{points[0].language}"
    ends = "; ".join(f"{p.examples} labels {number(p.mean)}{_band_said(p)}" for p in points)
    svg = _svg(PLOT_PX + 24, key, f"{metric_name(points[0].metric)} by labelled examples", ends)
    # logarithmic, so that 10 and 50 do not lie on zero beside all
    places = [math.log1p(p.examples) / math.log1p(most) for p in points]
    plot = _grid_of_panel(svg, scale)
    for point, share in zip(points, places, strict=True):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        label = f"{point.examples:,}"
        # where it would touch the last one it is left out
        if anchor != "middle" or share < 1 - LETTER_SHARE * (len(f"{most:,}") + len(label) / 2):
            _text(svg, "tick", share, PLOT_PX + 18, anchor, label)
    banded = [
        (x, p.low, p.high, p.is_range)
        for x, p in zip(places, points, strict=True)
        if p.low is not None and p.high is not None
    ]
    edges = [
        *((x, low) for x, low, *_ in banded),
        *((x, high) for x, _, high, _ in reversed(banded)),
    ]
    for css, tag, line in (
        ("band", "polygon", edges),
        ("curve c0", "polyline", [(x, p.mean) for x, p in zip(places, points, strict=True)]),
    ):
        at = " ".join(f"{1000 * x:.1f},{scale.height(y):.1f}" for x, y in line)
        SubElement(plot, tag, {"class": css, "points": at})
    for x, low, high, of_few in banded:
        # one point alone makes no band that could be seen
        css = "spread of-few" if of_few else "spread"
        _line(svg, css, x, scale.height(low), x, scale.height(high))
    for x, p in zip(places, points, strict=True):
        y = f"{scale.height(p.mean):.1f}"
        SubElement(svg, "circle", {"class": "point c0", "cx": _percent(x), "cy": y, "r": "2.6"})
    return _markup(svg)


def _band_said(p: LearningPoint) -> str:
    if p.low is None or p.high is None:
        return ""
    kind = f"lowest to highest of {p.n}" if p.is_range else "band"
    return f" ({kind} {number(p.low)} to {number(p.high)})"


@dataclass(frozen=True)
class Scale:
    """Of a panel, from its lowest grid line to its highest, and from one to the next."""

    bottom: float
    top: float
    step: float

    def height(self, value: float) -> float:
        """Pixels from the top of a panel."""
        return PLOT_PX * (1 - 0.94 * (value - self.bottom) / (self.top - self.bottom))

    def ticks(self) -> list[float]:
        """Values of the grid lines."""
        count = round((self.top - self.bottom) / self.step)
        return [self.bottom + self.step * at for at in range(count + 1)]


def _span(found: Sequence[LearningPoint]) -> Scale:
    """Scores as they lie: on a scale from 0 to 1 a band of some points could not be seen."""
    values = [edge for p in found for edge in (p.low, p.mean, p.high) if edge is not None]
    tenths = 1 if max(values) - min(values) <= 0.4 else 2
    low = math.floor(10 * min(values) / tenths + 1e-9) * tenths
    high = math.ceil(10 * max(values) / tenths - 1e-9) * tenths
    low = min(low, 10 - 2 * tenths)
    high = max(high, low + 2 * tenths)
    return Scale(low / 10, high / 10, tenths / 10)


def _frame(svg: Element, scale: Scale, last_step: int) -> Element:
    """Grid and labels; returns the inner drawing, 1000 wide, that stretches with the page."""
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        label = f"step {round(last_step * share):,}" if share else "0"
        _text(svg, "tick", share, PLOT_PX + 18, anchor, label)
    return _grid_of_panel(svg, scale)


def _grid_of_panel(svg: Element, scale: Scale) -> Element:
    for tick in scale.ticks():
        y = scale.height(tick)
        _line(svg, "grid", 0, y, 1, y)
        # beside the panel, whose style sheet leaves room: no curve goes through it
        place = {"class": "tick", "x": "-8", "y": f"{y + 4:g}", "text-anchor": "end"}
        SubElement(svg, "text", place).text = f"{tick:.3g}"
    size = {"width": "100%", "height": f"{PLOT_PX}", "viewBox": f"0 0 1000 {PLOT_PX}"}
    return SubElement(svg, "svg", {**size, "preserveAspectRatio": "none"})


def _dots(
    svg: Element,
    points: Sequence[CurvePoint],
    best_step: int | None,
    last_step: int,
    css: str,
    scale: Scale,
) -> None:
    """A dot an evaluation (one alone makes no line), a ring where the kept checkpoint is."""
    for point in points:
        kept = point.step == best_step
        SubElement(
            svg,
            "circle",
            {
                "class": f"{'kept' if kept else 'point'} {css}",
                "cx": _percent(point.step / last_step),
                "cy": f"{scale.height(point.value):.1f}",
                "r": "5" if kept else "2.2",
            },
        )


def _runs(points: Sequence[CurvePoint]) -> list[list[CurvePoint]]:
    """Lines of at most `MAX_POINTS`; a retried seed starts again at step 0: a new line."""
    runs: list[list[CurvePoint]] = [list(points[:1])]
    for before, point in pairwise(points):
        if point.step < before.step:
            runs.append([])
        runs[-1].append(point)
    return [_thinned(run) for run in runs]


def _thinned(run: list[CurvePoint]) -> list[CurvePoint]:
    stride = math.ceil(len(run) / MAX_POINTS)
    kept = run[::stride] if stride > 1 else run
    return kept if kept[-1] is run[-1] else [*kept, run[-1]]


def _nice_top(value: float) -> float:
    """The smallest 1, 2, 4 or 8 times a power of ten at or above `value`: quarters are round."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value * (1 - 1e-9))
