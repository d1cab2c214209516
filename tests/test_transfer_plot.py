from __future__ import annotations

from xml.etree import ElementTree

import pytest
from results_factory import STUDY, make_results

from lowres import pictures, transfer_plot

SVG = "{http://www.w3.org/2000/svg}"


def parts(results, tag, css):
    root = ElementTree.fromstring(transfer_plot.draw(results))
    return [e for e in root.iter(f"{SVG}{tag}") if e.get("class") == css]


def test_every_language_has_a_bar_with_its_interval():
    results = make_results()
    bars = [*parts(results, "rect", "source"), *parts(results, "rect", "target")]
    assert len(bars) == len(parts(results, "line", "whisker")) == len(STUDY)
    assert len(parts(results, "line", "base")) == len(STUDY)
    names = [text.text for text in parts(results, "text", "name")]
    assert set(names) == {row[0] for row in STUDY.values()}
    width = {n: float(b.get("width")) for n, b in zip(names, bars, strict=True)}
    assert width["English"] > width["N’Ko"]
    # nothing runs out of the picture
    whiskers = parts(results, "line", "whisker")
    assert max(float(line.get("x2")) for line in whiskers) <= pictures.WIDTH


def test_a_language_without_a_score_is_there():
    results = make_results()
    left = [s for s in results.scores if (s.system, s.language) != ("adapter", "yor_Latn")]
    results = results.model_copy(update={"scores": left})
    assert len(parts(results, "text", "name")) == len(STUDY)
    assert len(parts(results, "line", "whisker")) == len(STUDY) - 1


def test_no_text_runs_out_of_the_picture():
    """A letter of the small font is some 6 units wide, one of the other 7."""
    results = make_results()
    long = [r.model_copy(update={"name": "Very " * 20 + r.name}) for r in results.languages]
    for drawn in (results, results.model_copy(update={"languages": long})):
        root = ElementTree.fromstring(transfer_plot.draw(drawn))
        bottom = float(root.get("viewBox").split()[3])
        for text in root.iter(f"{SVG}text"):
            width = len(text.text) * (6 if text.get("class") == "small" else 7)
            before = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor")]
            start = float(text.get("x")) - before * width
            assert start >= 0, text.text
            assert start + width <= pictures.WIDTH, text.text
            assert float(text.get("y")) <= bottom
    (*_, first, second) = parts(results, "text", "small")
    assert first.text.startswith("macro-F1, mean of 2 seeds. Bars: ")
    assert second.text.startswith("Orange: ")


def test_hostile_names_are_text():
    results = make_results()
    named = [
        record.model_copy(update={"name": "<script>alert(1)</script>"})
        for record in results.languages
    ]
    drawn = transfer_plot.draw(results.model_copy(update={"languages": named}))
    assert "<script" not in drawn
    ElementTree.fromstring(drawn)


@pytest.mark.parametrize(("share", "x"), [(-1, 210), (0, 210), (1, 660), (7, 660)])
def test_shares_stay_inside(share, x):
    assert transfer_plot._x(share) == x
