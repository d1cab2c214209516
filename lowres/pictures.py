"""A picture of a published adapter: SVG that carries its own colours, as pages of the Hub have none
for it."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

WIDTH = 720
"""Units across; text is 11 to 13 of them high."""


def begun(height: float, title: str, style: str) -> Element:
    """An empty picture of this height, with a title for those who do not see it."""
    box = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height:g}"}
    svg = Element("svg", {**box, "width": str(WIDTH), "role": "img"})
    SubElement(svg, "title").text = title
    SubElement(svg, "style").text = style
    return svg


def text(
    parent: Element, css: str, x: float, y: float, said: str, anchor: str | None = None
) -> None:
    """A line of text; what data holds is escaped by the XML writer."""
    place = {"class": css, "x": f"{x:.1f}", "y": f"{y:.1f}"}
    SubElement(parent, "text", place | ({"text-anchor": anchor} if anchor else {})).text = said
