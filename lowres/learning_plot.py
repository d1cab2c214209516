"""`learning.svg`: the learning curves of the targets, for pages that show a picture only.

The panels are the report's; as with `transfer.svg` the picture carries its own colours, for light
and dark pages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from lowres import charts, figures, learning, pictures
from lowres.comparing import OVER_TARGETS
from lowres.results import Results

COLUMNS, LEFT, GAP = 3, 36, 44
PANEL = (pictures.WIDTH - LEFT - (COLUMNS - 1) * GAP - 10) / COLUMNS
TITLE, LINE = 26, 17
BELOW: Final = charts.PLOT_PX + 24
"""From the top of a panel to below its labels."""
MOST: Final = 12
"""Panels, the mean's first; the results have the others."""
LETTERS: Final = 110
"""Of a line of the caption."""
LONGEST: Final = 26
"""Letters of a name above a panel."""
STYLE: Final = """
svg { overflow: visible; }
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.tick, .small { font-size: 11px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.curve { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.c0, .spread { stroke: #0969da; } .point { fill: #ffffff; stroke-width: 1.4; }
.band { fill: #0969da; opacity: .2; stroke: none; }
.spread { stroke-width: 1.2; opacity: .55; } .of-few { stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .tick, .small { fill: #9198a1; } .grid { stroke: #3d444d; }
.c0, .spread { stroke: #4493f8; } .point { fill: #0d1117; } .band { fill: #4493f8; }
}
"""


def draw(results: Results) -> str | None:
    """The picture as SVG; None where a run has no few-shot system."""
    curves = learning.of(results.learning)
    if curves is None:
        return None
    panels = sorted(
        charts.learning_charts(results.learning), key=lambda chart: chart.language != OVER_TARGETS
    )
    shown, names = panels[:MOST], {record.code: record.name for record in results.languages}
    caption = _caption(curves, len(panels) - len(shown))
    below = (TITLE + BELOW) * -(-len(shown) // COLUMNS)
    metric = figures.metric_name(curves.metric)
    title = f"{metric} by labelled examples of each target"
    svg = pictures.begun(below + 14 + LINE * len(caption), title, STYLE)
    for index, chart in enumerate(shown):
        x = LEFT + index % COLUMNS * (PANEL + GAP)
        y = index // COLUMNS * (TITLE + BELOW)
        name = names.get(chart.language, "Mean of the targets")
        short = textwrap.shorten(name, LONGEST, placeholder="…")
        pictures.text(svg, "name", x, y + 16, short)
        panel = ElementTree.fromstring(chart.svg)
        place = {"x": f"{x:.1f}", "y": f"{y + TITLE:g}", "width": f"{PANEL:.1f}"}
        panel.attrib.update(place)
        svg.append(panel)
    for index, said in enumerate(caption, start=1):
        pictures.text(svg, "small", 10, below + LINE * index, said)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _caption(curves: learning.Curves, more: int) -> Sequence[str]:
    left = f" {more} more targets are in results.json." if more else ""
    metric = figures.metric_name(curves.metric)
    said = (
        f"{metric} by labelled examples of the target (their logarithm). "
        f"Dashed: lowest to highest of fewer than five trainings. {curves.note}{left}"
    )
    return textwrap.wrap(said, LETTERS)
