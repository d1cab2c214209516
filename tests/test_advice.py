"""lowres/advice.py: what to do first, by the verdict on the base's tokenizer."""

from dataclasses import replace
from pathlib import Path

import pytest

from lowres import advice
from lowres.corpus import LITTLE_WORDS
from lowres.diagnose import Base, Finding, Text, Verdict
from lowres.fertility import Measured

MEASURED = Measured(1, 5, 20, 22, 9, 0, 9, 0.2, 0.0, 0.0, (), (), ())
FINDING = Finding(
    Base("e5-small", None, MEASURED, None, False),
    Text(Path("tzm.txt"), "tzm_Tfng", "Tfng", ()),
    MEASURED,
    Verdict("fine", "no figure is beyond its threshold", "use it"),
)


def words(verdict: str, seen: bool | None = True, count: int = 10_000) -> list[str]:
    finding = replace(FINDING, verdict=Verdict(verdict, "46% unknown", "as it says"))  # type: ignore[arg-type]
    found = advice.steps("tzm_Tfng", "e5-small", finding, seen, count, ["arb_Arab", "eng_Latn"])
    return [step.word for step in found]


@pytest.mark.parametrize(
    ("verdict", "seen", "count", "first"),
    [
        ("fine", True, 10_000, "train"),
        ("fine", None, 10_000, "train"),
        ("fine", False, 10_000, "adapt"),
        ("fine", False, LITTLE_WORDS - 1, "train"),
        ("extend", True, 10_000, "extend and adapt"),
        ("script unknown", False, LITTLE_WORDS, "extend and adapt"),
        ("script unknown", False, LITTLE_WORDS - 1, "collect text"),
        ("replace", True, 10_000, "another base"),
    ],
)
def test_first_step(verdict: str, seen: bool | None, count: int, first: str) -> None:
    assert words(verdict, seen, count)[0] == first


def test_without_text_it_asks_for_some_and_says_so() -> None:
    first, *_ = advice.steps("tzm_Tfng", "e5-small", None, False, None, [])
    assert first.word == "collect text"
    assert "its pretraining had none" in first.why
    known = advice.steps("swh_Latn", "e5-small", None, True, None, [])
    assert "its pretraining had none" not in known[0].why


def test_three_sources_are_tried_and_labels_come_last() -> None:
    found = advice.steps("xho_Latn", "e5-small", FINDING, True, 10_000, list("abcdef"))
    assert [step.word for step in found] == ["train", "label"]
    assert found[0].how.endswith("a, then b, then c")
    assert "shots: [50]" in found[1].how
    alone = advice.steps("xho_Latn", "e5-small", FINDING, True, 10_000, ["zul_Latn"])
    assert alone[0].how == "languages.source: zul_Latn"


@pytest.mark.parametrize(
    ("labels", "word", "how"),
    [
        (0, "label", "label 100 for testing and 50 more: languages.shots: [50]"),
        (30, "label", "languages.shots: [0, 30] measures what they bring; label 100 others"),
        (149, "label", "languages.shots: [0, 149]"),
        (150, "few labels", "set 100 aside for testing: languages.shots: [0, 50]"),
        (1100, "few labels", "set 100 aside for testing: languages.shots: [0, 50, 1000]"),
    ],
)
def test_labels_that_are_there_are_used(labels: int, word: str, how: str) -> None:
    last = advice.steps("xho_Latn", "e5-small", FINDING, True, 10_000, ["zul_Latn"], labels)[-1]
    assert last.word == word
    assert last.how.startswith(how)
    assert ("you have" in last.why) == bool(labels)
