from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from results_factory import STUDY, TARGETS, make_results
from rich.cells import cell_len
from rich.console import Console

from lowres import figures
from lowres.charts import MAX_POINTS, curve_charts
from lowres.report import VERDICTS, summary_table, write_report
from lowres.results import CurvePoint, Mistake, Results, Score, SeedRecord, Verdict

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = "<script>alert(1)</script>\"'><b onmouseover=x>&"


class Page(HTMLParser):
    """Balance, attributes and text of a page; raises on an end tag that closes nothing."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def render(tmp_path: Path, **changes: Any) -> str:
    write_report(make_results(**changes), tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def printed(results: Results, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary_table(results))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def bare_results() -> Results:
    """A run of which nothing but its frame is known."""
    lists = (
        "data",
        "stages",
        "seeds",
        "scores",
        "averages",
        "comparisons",
        "verdicts",
        "curves",
        "confusions",
        "mistakes",
        "tokenizer",
        "warnings",
        "labels",
    )
    return make_results(**{name: [] for name in lists}, recipe={}, versions={})


def test_page_is_well_formed_and_ids_are_unique(tmp_path: Path) -> None:
    page = Page(render(tmp_path))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {link["href"] for link in page.all("a")}
    assert links <= {f"#{name}" for name in ids}


def test_page_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    html = render(tmp_path)
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    fetching = {"src", "srcset", "xlink:href", "action", "background", "data"}
    for _, attributes in page.tags:
        assert not fetching & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|@font-face|https?://", html)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)


def test_data_is_escaped_wherever_it_comes_from(tmp_path: Path) -> None:
    plain = make_results()
    language = plain.languages[1].model_copy(update={"name": EVIL})
    changes: dict[str, Any] = {
        "languages": [plain.languages[0], language, *plain.languages[2:]],
        "mistakes": [Mistake(language="ind_Latn", id=EVIL, text=EVIL, gold=EVIL, predicted=EVIL)],
        "verdicts": [Verdict(language="ind_Latn", verdict="transfers", reason=EVIL)],
        "warnings": [EVIL],
        "versions": {EVIL: EVIL},
        "recipe": {"name": EVIL, "question": EVIL, "languages": {"source": EVIL}},
        "confusions": [plain.confusions[1].model_copy(update={"labels": [EVIL] * 7})],
        "data": [plain.data[0].model_copy(update={"where": EVIL, "notes": [EVIL]})],
        "base": plain.base.model_copy(update={"name": EVIL, "obtained": EVIL}),
    }
    html = render(tmp_path, **changes)
    page = Page(html)
    assert not page.all("script")
    assert not page.all("b") or all("onmouseover" not in b for b in page.all("b"))
    assert "<script" not in html
    assert "<script>alert(1)</script>" in page.text


def test_a_lone_surrogate_does_not_cost_the_report(tmp_path: Path) -> None:
    assert "broken ? text" in render(tmp_path, warnings=["broken \ud800 text"])


def test_every_language_code_and_verdict_is_shown(tmp_path: Path) -> None:
    verdicts = [
        Verdict(language=code, verdict=verdict, reason="so it was measured")  # type: ignore[arg-type]
        for code, verdict in zip(TARGETS, VERDICTS, strict=False)
    ]
    results = make_results(verdicts=verdicts)
    text = Page(render(tmp_path, verdicts=verdicts)).text
    terminal = " ".join(printed(results, 160).split())
    for code, row in STUDY.items():
        for shown in (text, terminal):
            assert code in shown
            assert row[0] in shown
    for verdict in VERDICTS:
        assert verdict in text
        assert verdict in terminal


def test_text_runs_in_the_direction_of_its_language(tmp_path: Path) -> None:
    said = [p for p in Page(render(tmp_path)).all("p") if (p.get("class") or "").startswith("said")]
    directions = {p["lang"]: (p["dir"], p["class"]) for p in said}
    assert directions["urd-Arab"] == ("rtl", "said script-Arab")
    assert directions["nqo-Nkoo"] == ("rtl", "said script-Nkoo")
    assert directions["amh-Ethi"] == ("ltr", "said script-Ethi")


def test_at_most_twenty_mistakes_a_language(tmp_path: Path) -> None:
    many = [
        Mistake(language="yor_Latn", id=f"m{i}", text=f"gbólóhùn {i}", gold="a", predicted="b")
        for i in range(30)
    ]
    text = Page(render(tmp_path, mistakes=many)).text
    assert "gbólóhùn 19" in text
    assert "gbólóhùn 20" not in text


def test_charts_and_tables_speak_to_a_screen_reader(tmp_path: Path) -> None:
    page = Page(render(tmp_path))
    ids = {attributes.get("id") for _, attributes in page.tags}
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) >= 2 * len(STUDY)
    for svg in charts:
        assert set((svg["aria-labelledby"] or "").split()) <= ids
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_answer_is_a_sentence_of_figures() -> None:
    text = "".join(part.text for part in figures.answer(figures.summarise(make_results())))
    assert text == (
        "Taught with labels in English only, the adapter reaches macro-F1 0.612 (mean of 10 "
        "targets, 2 seeds) against 0.538 for the frozen base, 0.146 for TF-IDF and 0.057 for the "
        "majority class. "
        "Of 10 targets it transfers to 8, is no better than TF-IDF on 1 (Central Atlas Tamazight) "
        "and transfers negatively to 1 (N’Ko). As a yardstick, TF-IDF taught on labels of the "
        "targets themselves gets 0.635."
    )


def test_a_collapsed_seed_enters_no_mean_but_is_listed(tmp_path: Path) -> None:
    summary = figures.summarise(make_results())
    yoruba = next(row for row in summary.targets if row.language.code == "yor_Latn")
    assert yoruba.adapter is not None
    assert yoruba.adapter.seeds == 2
    assert yoruba.adapter.value == pytest.approx(0.612)
    assert yoruba.adapter.sd == pytest.approx(2**0.5 * 0.008, abs=0.004)
    assert "seed 3 (collapsed)" in Page(render(tmp_path)).text


def test_without_a_trusted_seed_no_adapter_figure_is_claimed(tmp_path: Path) -> None:
    plain = make_results()
    lost = [s.model_copy(update={"status": "collapsed"}) for s in plain.seeds]
    averages = [a for a in plain.averages if a.system != "adapter"]
    results = make_results(seeds=lost, averages=averages)
    assert all(row.adapter is None for row in figures.summarise(results).targets)
    assert "no seed of this run can be trusted" in " ".join(printed(results).split())
    Page(render(tmp_path, seeds=lost, averages=averages))


@pytest.mark.parametrize(
    "field",
    [
        "curves",
        "confusions",
        "mistakes",
        "tokenizer",
        "comparisons",
        "averages",
        "verdicts",
        "stages",
        "warnings",
    ],
)
def test_what_is_missing_leaves_no_hole(tmp_path: Path, field: str) -> None:
    page = Page(render(tmp_path, **{field: []}))
    assert "yor_Latn" in page.text
    assert "None" not in page.text
    targets = {link["href"] for link in page.all("a")}
    assert ("#curves" in targets) == (field != "curves")


def test_a_bare_run_is_drawn(tmp_path: Path) -> None:
    write_report(bare_results(), tmp_path / "report.html")
    Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "English" in printed(bare_results())


def test_a_system_missing_in_one_language_is_a_dash(tmp_path: Path) -> None:
    scores = [
        s
        for s in make_results().scores
        if not (s.system == "tfidf-target" and s.language == "yor_Latn")
    ]
    row = next(
        line for line in printed(make_results(scores=scores)).splitlines() if "Yoruba" in line
    )
    assert figures.MISSING in row
    Page(render(tmp_path, scores=scores))


def test_not_a_number_is_never_shown(tmp_path: Path) -> None:
    plain = make_results()
    nan = math.nan
    changes: dict[str, Any] = {
        "scores": [
            s.model_copy(update={"value": nan, "low": nan}) if s.seed == 2 else s
            for s in plain.scores
        ],
        "averages": [
            a.model_copy(update={"mean": nan, "median": nan}) if a.system == "probe" else a
            for a in plain.averages
        ],
        "curves": [*plain.curves, CurvePoint(seed=2, step=441, epoch=10, name="loss", value=nan)],
        "comparisons": [c.model_copy(update={"p": nan, "delta": nan}) for c in plain.comparisons],
        "seeds": [
            plain.seeds[0],
            SeedRecord(
                seed=2,
                status="nan",
                retried=True,
                learning_rate=3e-4,
                best_step=0,
                steps=9,
                dev=nan,
            ),
        ],
        "tokenizer": [t.model_copy(update={"fertility": nan}) for t in plain.tokenizer],
        "resources": plain.resources.model_copy(update={"energy_kwh": nan, "peak_mb": nan}),
    }
    for shown in (render(tmp_path, **changes), printed(make_results(**changes))):
        assert not re.search(r"\b(nan|inf|infinity)\b", shown, re.IGNORECASE)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_terminal_table_fits(width: int) -> None:
    lines = printed(make_results(), width).splitlines()
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert "…" not in "".join(lines)


def test_terminal_table_of_eighty_columns_shows_every_figure() -> None:
    text = printed(make_results())
    yoruba, below = re.findall(r"^(?:Yoruba|yor_Latn).*$", text, re.MULTILINE)
    assert yoruba.split() == [
        "Yoruba",
        "0.612",
        "±0.011",
        "204",
        "0.508",
        "0.197",
        "0.057",
        "0.634",
        "transfers",
    ]
    assert below.split() == ["yor_Latn", "0.545–0.679"]
    assert "! seed 3 collapsed" in text


def test_markup_in_a_warning_is_text_in_the_terminal() -> None:
    assert "[bold]not markup[/]" in printed(make_results(warnings=["[bold]not markup[/]"]))


def test_a_source_scored_on_dev_says_so(tmp_path: Path) -> None:
    scores = [
        s.model_copy(update={"split": "dev"}) if s.language == "eng_Latn" else s
        for s in make_results().scores
    ]
    assert "204 dev" in " ".join(Page(render(tmp_path, scores=scores)).text.split())


def test_a_second_metric_stands_apart(tmp_path: Path) -> None:
    plain = make_results()
    more = [s.model_copy(update={"metric": "accuracy", "value": 0.5}) for s in plain.scores]
    extra = [a.model_copy(update={"metric": "accuracy"}) for a in plain.averages]
    results = make_results(scores=[*more, *plain.scores], averages=[*extra, *plain.averages])
    assert figures.summarise(results).metric == "macro_f1"  # what checkpoints were chosen by
    page = Page(render(tmp_path, scores=results.scores, averages=results.averages))
    assert "Other metrics" in page.text


def test_systems_and_metrics_of_tomorrow_are_shown_by_name(tmp_path: Path) -> None:
    new = Score(
        system="centroid",
        language="yor_Latn",
        role="target",
        split="test",
        metric="macro_f1",
        value=0.4,
        low=0.3,
        high=0.5,
        n=204,
    )
    assert "centroid" in Page(render(tmp_path, scores=[*make_results().scores, new])).text
    assert figures.metric_name("mean_rank") == "mean rank"


def test_long_and_retried_curves_stay_light() -> None:
    points = [
        CurvePoint(seed=1, step=step % 3000, epoch=1.0, name="loss", value=1.0)
        for step in range(6000)
    ]
    (chart,) = curve_charts(make_results(curves=points))
    lines = re.findall(r'points="([^"]*)"', str(chart.svg))
    assert len(lines) == 2  # the retry starts again at step 0: a second line, no stroke back
    assert all(len(line.split()) <= MAX_POINTS + 1 for line in lines)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.number(0.78149), "0.781"),
        (figures.signed(-0.3104), "−0.310"),
        (figures.signed(0.0), "+0.000"),
        (figures.p_value(0.0), "< 0.001"),
        (figures.p_value(0.0121), "0.012"),
        (figures.duration(3.21), "3.2 s"),
        (figures.duration(59.7), "1 min 00 s"),
        (figures.duration(312), "5 min 12 s"),
        (figures.duration(7440), "2 h 04 min"),
        (figures.energy(0.0131), "13.1 Wh"),
        (figures.energy(1.5), "1.5 kWh"),
        (figures.energy(None), "not measured"),
        (figures.whole(1204.4), "1,204"),
        (figures.joined(["a"]), "a"),
        (figures.joined(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_figures_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected
