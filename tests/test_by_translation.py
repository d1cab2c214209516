from __future__ import annotations

import io
from pathlib import Path

import pytest
from results_factory import METRIC, make_results
from rich.console import Console
from test_card import drawn

from lowres import by_translation, figures, report
from lowres.results import Comparison, Results, Score, TranslationRecord

# points of 100 over the adapter, on two of ten targets
GAINS = {"yor_Latn": 0.05, "tzm_Tfng": -0.02}


def study() -> Results:
    plain = make_results()
    scores, comparisons = list(plain.scores), list(plain.comparisons)
    for code, gain in GAINS.items():
        for score in plain.scores:
            if (score.system, score.language) == ("adapter", code) and score.seed in (1, 2):
                changed = {"system": "translate-train", "value": score.value + gain}
                scores.append(score.model_copy(update=changed))
        row = {"a": "adapter", "b": "translate-train", "language": code, "metric": METRIC}
        comparisons.append(
            Comparison(**row, delta=-gain, low=-gain - 0.03, high=-gain + 0.01, p=0.04, seed=1)
        )
    # a system of another seed than those that can be trusted says nothing
    other = {"system": "translate-test", "language": "hau_Latn", "role": "target", "seed": 3}
    scores.append(Score.model_validate({**scores[0].model_dump(), **other}))
    record = TranslationRecord(
        language="yor_Latn", use="train", n=701, where="into/yor_Latn.jsonl", sha256="0" * 64,
        left_out=12, spans=900, lost=15, in_test=2,
    )  # fmt: skip
    changed = {"scores": scores, "comparisons": comparisons, "translations": [record]}
    return plain.model_copy(update=changed)


def test_a_gain_is_the_system_less_the_adapter() -> None:
    found = by_translation.of(study())
    assert found is not None
    assert found.systems == ("translate-train",)
    # the mean of all targets needs all of them
    assert {line.language for line in found.lines} == {*GAINS}
    (yoruba,) = (line for line in found.lines if line.language == "yor_Latn")
    assert yoruba.zero_shot is not None
    cell = yoruba.cells["translate-train"]
    assert cell.value == pytest.approx(yoruba.zero_shot.value + 0.05)
    assert cell.gained == "+5.0 (+4.0 to +8.0)"
    assert by_translation.of(make_results()) is None


def test_they_are_in_no_other_table() -> None:
    assert figures.summarise(study()).systems == figures.summarise(make_results()).systems


def test_terminal_report_and_card_say_the_same(tmp_path: Path) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.summary_table(study()))
    report.write_report(study(), tmp_path / "report.html")
    pages = {
        "terminal": " ".join(console.export_text().split()),
        "report": (tmp_path / "report.html").read_text(encoding="utf-8"),
        "card": drawn(study()),
    }
    lost = "12 of them left out: 15 of 900 spans could not be carried over by word alignment."
    for name, page in pages.items():
        assert "+5.0 (+4.0 to +8.0)" in page, name
        assert "−2.0 (−3.0 to +1.0)" in page, name
        assert lost in page, name
        assert "2 texts of its test set stand among those" in page, name
    assert "## With translations" in pages["card"]
    assert "translate" not in drawn(make_results())


def test_half_of_the_spans_lost_is_said() -> None:
    results = study()
    record = results.translations[0].model_copy(update={"lost": 450})
    said = by_translation.of(results.model_copy(update={"translations": [record]}))
    assert said is not None
    assert any("half of the spans or more were lost: look whether" in line for line in said.files)
    known = by_translation.of(results)
    assert known is not None
    assert not any("half of the spans" in line for line in known.files)
