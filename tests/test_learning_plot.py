"""The picture of the learning curves that is published beside the card."""

from __future__ import annotations

from xml.etree import ElementTree

from results_factory import make_results
from test_learning import points, study, two_draws

from lowres import learning_plot
from lowres.results import LanguageRecord, LearningPoint, Results

SVG = "{http://www.w3.org/2000/svg}"


def drawn(learning: list[LearningPoint], **changes: object) -> ElementTree.Element:
    text = learning_plot.draw(make_results(learning=learning, **changes))
    assert text is not None
    return ElementTree.fromstring(text)


def said(root: ElementTree.Element) -> str:
    return " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def test_every_point_of_every_target_and_of_their_mean() -> None:
    root = drawn(points(study()))
    panels = root.findall(f"{SVG}svg")
    assert len(panels) == 3
    assert "Mean of the targets" in said(root)
    assert [len(list(panel.iter(f"{SVG}circle"))) for panel in panels] == [3, 3, 3]
    (_, _, width, height) = map(float, (root.get("viewBox") or "").split())
    for panel in panels:
        left, top, wide = (float(panel.get(key) or 0) for key in ("x", "y", "width"))
        tall = float(panel.get("height") or 0)
        assert left + wide <= width
        assert top + tall <= height


def test_its_caption_says_what_a_line_is_and_fits() -> None:
    root = drawn(two_draws())
    assert "lowest to the highest" in said(root)
    lines = [text for text in root.findall(f"{SVG}text") if text.get("class") == "small"]
    assert lines
    assert all(len(line.text or "") <= learning_plot.LETTERS for line in lines)


def test_of_many_targets_some_are_drawn_and_the_others_are_counted() -> None:
    one = [p for p in points(study()) if p.language == "hau_Latn"]
    many = [p.model_copy(update={"language": f"t{n:02}_Latn"}) for n in range(20) for p in one]
    mean = [p for p in points(study()) if p.language == "targets"]
    root = drawn([*many, *mean])
    panels = root.findall(f"{SVG}svg")
    assert len(panels) == learning_plot.MOST
    names = [text.text for text in root.findall(f"{SVG}text") if text.get("class") == "name"]
    assert names[0] == "Mean of the targets"
    assert "9 more targets are in results.json" in said(root)


def test_a_name_is_escaped_and_cut_where_it_is_long() -> None:
    long = "A language <script> whose name goes on and on"
    record = LanguageRecord(code="hau_Latn", name=long, direction="ltr", script="Latin")
    text = learning_plot.draw(
        make_results(learning=points(study())).model_copy(update={"languages": [record]})
    )
    assert text is not None
    assert "<script>" not in text
    assert long not in said(ElementTree.fromstring(text))


def test_there_is_none_without_few_shot_systems() -> None:
    plain: Results = make_results()
    assert learning_plot.draw(plain) is None
