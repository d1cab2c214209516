from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from results_factory import make_results
from rich.console import Console

from lowres import charts, learning
from lowres.report import summary_table, write_report
from lowres.results import LearningPoint, Score

SIZES = {"hau_Latn": 100, "yor_Latn": 300}


def score(
    system: str, language: str, value: float, seed: int = 1, draw: int | None = None
) -> Score:
    return Score(
        system=system, seed=seed, draw=draw, language=language, role="target", split="test",
        metric="macro_f1", value=value, low=value - 0.05, high=value + 0.05, n=200,
    )  # fmt: skip


def study(drawn: int = 5) -> list[Score]:
    """Ten labels bring 10 points, give or take; all 20."""
    found = []
    for language, zero in (("hau_Latn", 0.5), ("yor_Latn", 0.4)):
        for seed in (1, 2):
            found.append(score("adapter", language, zero, seed))
            found += [
                score("10-shot", language, zero + 0.1 + 0.01 * (draw - 3), seed, draw)
                for draw in range(1, drawn + 1)
            ]
            found.append(score("all-shot", language, zero + 0.2, seed, 1))
    return found


def points(scores: list[Score], trusted: tuple[int, ...] = (1, 2)) -> list[LearningPoint]:
    return learning.points(scores, "macro_f1", (10, "all"), SIZES, trusted)


def test_a_point_is_the_mean_of_all_trainings_with_their_band() -> None:
    found = {(p.language, p.shots): p for p in points(study())}
    ten = found["hau_Latn", "10"]
    assert (ten.n, ten.examples) == (10, 10)
    assert ten.mean == pytest.approx(0.6)
    assert ten.low is not None
    assert ten.high is not None
    assert 0.58 <= ten.low < 0.585
    assert 0.615 < ten.high <= 0.62
    assert found["targets", "10"].mean == pytest.approx(0.55)
    assert found["targets", "all"].examples == 200
    assert found["yor_Latn", "all"].examples == 300
    assert found["targets", "0"].mean == pytest.approx(0.45)


def test_a_seed_that_cannot_be_trusted_is_not_in_zero_shot() -> None:
    worse = [*study(), score("adapter", "hau_Latn", 0.0, 3), score("adapter", "yor_Latn", 0.0, 3)]
    found = {(p.language, p.shots): p for p in points(worse)}
    assert found["targets", "0"].mean == pytest.approx(0.45)


def two_draws() -> list[LearningPoint]:
    """Of one seed: 0.58 and 0.6 with ten labels of Hausa."""
    return points([s for s in study(2) if s.seed == 1])


def test_fewer_than_five_trainings_have_their_lowest_and_highest_and_are_marked(
    tmp_path: Path,
) -> None:
    ten = next(p for p in two_draws() if (p.language, p.shots) == ("hau_Latn", "10"))
    assert (ten.low, ten.high, ten.n) == (pytest.approx(0.58), pytest.approx(0.59), 2)
    curves = learning.of(two_draws())
    assert curves is not None
    assert "*: fewer than five trainings, in brackets the lowest to the highest" in curves.note
    assert "five draws are asked for (languages.draws)" in curves.note
    assert "percentile" not in curves.note
    assert "*, n 2)" in curves.gain
    results = make_results(learning=two_draws())
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(summary_table(results))
    assert isinstance(console.file, io.StringIO)
    assert "0.580–0.590*, n 2" in console.file.getvalue()
    write_report(results, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "(0.580–0.590*, n 2)" in page
    assert "lowest to highest of 2: 0.580 to 0.590" in page.replace("of 2 ", "of 2: ")


def test_five_draws_are_not_asked_for_again_and_zero_shot_has_none() -> None:
    curves = learning.of(points([s for s in study(5) if s.seed == 1]))
    assert curves is not None
    assert "2.5th to 97.5th percentile" in curves.note
    assert "asked for" not in curves.note
    assert "*" not in curves.note + curves.gain
    assert "zero-shot and all examples have none" in curves.note


def test_one_training_has_no_band() -> None:
    alone = [s for s in study(1) if s.seed == 1]
    assert all(p.low is None and p.high is None and p.n == 1 for p in points(alone))


def test_without_few_shot_systems_there_is_no_curve() -> None:
    zero = [s for s in study() if s.system == "adapter"]
    assert learning.of(points(zero)) is None
    assert charts.learning_charts(points(zero)) == ()
    assert learning.table(make_results(learning=points(zero))) == []


def test_what_they_bring_is_said_with_its_band() -> None:
    curves = learning.of(points(study()))
    assert curves is not None
    assert curves.columns == ("0", "10", "all")
    assert [row.language for row in curves.rows] == ["hau_Latn", "yor_Latn", "targets"]
    assert curves.gain.startswith(
        "Points of 100 over zero-shot by labelled examples a target, mean of the targets: 10: +10.0"
    )
    assert "n 10" in curves.gain


def test_the_table_the_page_and_the_chart_show_every_point(tmp_path: Path) -> None:
    results = make_results(learning=points(study()))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(summary_table(results))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    write_report(results, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (shown, page):
        assert "What a few labels bring" in text
        for value in ("0.500", "0.600", "0.700", "0.450", "0.550", "0.650"):
            assert value in text
    (first, *_) = charts.learning_charts(results.learning)
    assert first.svg.count("<circle") == 3
    assert "10 labels 0.600" in first.svg
    assert 'class="band"' in first.svg
    # of two seeds there is a lowest and a highest zero-shot and all, of ten trainings percentiles
    assert first.svg.count('class="spread"') == 1
    assert first.svg.count('class="spread of-few"') == 2
    write_report(make_results(), tmp_path / "plain.html")
    assert "What a few labels" not in (tmp_path / "plain.html").read_text(encoding="utf-8")


def ticks(svg: str) -> list[str]:
    return re.findall(r'<text class="tick" x="-8"[^>]*>([^<]+)<', svg)


def below(svg: str) -> list[str]:
    return re.findall(r'<text class="tick" x="[0-9.]+%"[^>]*>([^<]+)<', svg)


def test_panels_have_one_scale_which_the_scores_fill() -> None:
    drawn = charts.learning_charts(points(study()))
    assert {tuple(ticks(chart.svg)) for chart in drawn} == {("0.4", "0.5", "0.6", "0.7")}
    flat = [p.model_copy(update={"mean": 1.0, "low": None, "high": None}) for p in points(study())]
    (one, *_) = charts.learning_charts(flat)
    assert ticks(one.svg) == ["0.8", "0.9", "1"]
    wide = [
        p.model_copy(update={"mean": at % 2, "low": None, "high": None})
        for at, p in enumerate(points(study()))
    ]
    assert ticks(charts.learning_charts(wide)[0].svg) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_labels_below_a_panel_do_not_touch() -> None:
    found = [p for p in points(study()) if p.language == "hau_Latn"]
    (chart,) = charts.learning_charts(found)
    assert below(chart.svg) == ["0", "10", "100"]
    near = [p.model_copy(update={"examples": 90}) if p.shots == "10" else p for p in found]
    (chart,) = charts.learning_charts(near)
    assert below(chart.svg) == ["0", "100"]
