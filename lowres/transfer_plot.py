"""`transfer.svg`: every language's score with its interval, for pages that show a picture only.

The report's charts take their colours from its style sheet; this one carries its own, for light and
dark pages.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from lowres import figures, pictures
from lowres.figures import LanguageRow, Summary
from lowres.results import Results

LEFT, RIGHT, TOP, ROW = 210, 60, 34, 26
MARGIN, LINE = 10, 17
LONGEST = 27
"""Letters of a name that fit beside the bars; a longer one is cut where all can see it."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.source { fill: #8c959f; } .target { fill: #0969da; } rect { fill-opacity: 0.75; }
.whisker { stroke: #1f2328; stroke-width: 1.5; } .base { stroke: #bc4c00; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
text, .whisker { fill: #f0f6fc; stroke: none; } .small { fill: #9198a1; }
.grid { stroke: #3d444d; } .whisker { stroke: #f0f6fc; } .target { fill: #4493f8; }
.base { stroke: #f0883e; }
}
"""


def draw(results: Results) -> str:
    """The picture as SVG."""
    summary = figures.summarise(results)
    rows = [*summary.sources, *summary.targets]
    caption = _caption(summary)
    below = TOP + ROW * len(rows)
    height = below + 10 + LINE * len(caption)
    metric = figures.metric_name(summary.metric)
    title = f"{metric} of every language, with 95% intervals"
    svg = pictures.begun(height, title, STYLE)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = f"{_x(tick):.1f}"
        _line(svg, "grid", x, str(TOP - 6), x, str(TOP + ROW * len(rows)))
        pictures.text(svg, "small", _x(tick), TOP - 12, f"{tick:g}", "middle")
    for index, row in enumerate(rows):
        _row(svg, row, summary, TOP + ROW * index)
    for index, said in enumerate(caption, start=1):
        pictures.text(svg, "small", MARGIN, below + 4 + LINE * index, said, "start")
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _caption(summary: Summary) -> list[str]:
    """Lines that are not wider than the picture, at some 6 units a letter."""
    seeds = len(summary.trusted_seeds)
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    lines = [
        f"{figures.metric_name(summary.metric)}{mean}. Bars: the adapter, grey on what it was "
        "taught in; line: 95% interval."
    ]
    if any(system not in figures.YARDSTICKS for system in summary.baselines):
        lines.append("Orange: the best baseline that knows no labels of the language.")
    return lines


def _row(svg: Element, row: LanguageRow, summary: Summary, top: int) -> None:
    pictures.text(svg, "name", LEFT - 10, top + 16, _short(row.language.name), "end")
    found = row.adapter
    if found is None:
        pictures.text(svg, "small", LEFT + 4, top + 16, figures.MISSING, "start")
        return
    middle = f"{top + 11.5:.1f}"
    SubElement(
        svg,
        "rect",
        {
            "class": row.role,
            "x": str(LEFT),
            "y": str(top + 4),
            "width": f"{max(0.0, _x(found.value) - LEFT):.1f}",
            "height": "15",
        },
    )
    _line(svg, "whisker", f"{_x(found.low):.1f}", middle, f"{_x(found.high):.1f}", middle)
    rivals = [
        row.figures[system].value
        for system in summary.baselines
        if system in row.figures and system not in figures.YARDSTICKS
    ]
    if rivals:
        x = f"{_x(max(rivals)):.1f}"
        _line(svg, "base", x, str(top + 2), x, str(top + 21))
    pictures.text(
        svg, "small", pictures.WIDTH - RIGHT + 10, top + 16, figures.number(found.value), "start"
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _x(share: float) -> float:
    return LEFT + (pictures.WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))


def _line(parent: Element, css: str, x1: str, y1: str, x2: str, y2: str) -> None:
    SubElement(parent, "line", {"class": css, "x1": x1, "y1": y1, "x2": x2, "y2": y2})
