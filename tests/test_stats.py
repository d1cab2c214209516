"""Intervals, paired tests, collapse and verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import stats
from lowres.results import Comparison, Score

LABELS = ("a", "b")


def answers(right: int, wrong: int) -> list[str]:
    """Answers to a gold of `right + wrong` times "a"."""
    return ["a"] * right + ["b"] * wrong


def test_an_interval_is_the_binomial_one() -> None:
    found = stats.score("accuracy", ["a"] * 400, answers(280, 120), LABELS, 2000)
    margin = 1.96 * (0.7 * 0.3 / 400) ** 0.5
    assert found.value == 0.7
    assert found.n == 400
    assert found.low == pytest.approx(0.7 - margin, abs=0.01)
    assert found.high == pytest.approx(0.7 + margin, abs=0.01)


def test_the_same_seed_gives_the_same_interval_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments: Any = ("macro_f1", ["a", "b"] * 20, answers(25, 15), LABELS, 300)
    whole = stats.score(*arguments)
    assert stats.score(*arguments) == whole
    assert stats.score(*arguments, seed=1) != whole
    monkeypatch.setattr(stats, "CHUNK_CELLS", 1000)
    assert stats.score(*arguments) == whole


@given(st.integers(1, 30), st.integers(1, 50))
def test_every_resample_draws_as_many_examples_as_there_are(examples: int, resamples: int) -> None:
    counts = np.concatenate(list(stats.drawn(examples, resamples, 0)))
    assert counts.shape == (resamples, examples)
    assert (counts.sum(axis=1) == examples).all()


def test_words_of_a_sentence_are_drawn_together() -> None:
    gold = [["O", "B-X"]] * 50
    predicted = [["O", "B-X"]] * 25 + [["O", "O"]] * 25
    found = stats.score("span_f1", gold, predicted, ("O", "B-X"), 500)
    assert found.n == 50
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 2 / 3 < found.high


def test_no_examples_is_an_error() -> None:
    with pytest.raises(ValueError, match="accuracy of no examples"):
        stats.score("accuracy", [], [], LABELS, 100)


@pytest.mark.parametrize(
    ("a", "b", "low_p", "high_p"),
    [
        (answers(90, 10), answers(60, 40), 0.0, 0.01),
        (answers(60, 40), answers(90, 10), 0.0, 0.01),
        (answers(70, 30), answers(70, 30), 1.0, 1.0),
        (answers(70, 30), answers(69, 31), 0.2, 1.0),
    ],
)
def test_a_paired_difference(a: list[str], b: list[str], low_p: float, high_p: float) -> None:
    found = stats.paired("accuracy", ["a"] * 100, a, b, LABELS, 1000)
    assert found.delta == pytest.approx((a.count("a") - b.count("a")) / 100)
    assert found.low <= found.delta <= found.high
    assert low_p <= found.p <= high_p
    assert found.p > 0


def test_pairing_beats_two_separate_intervals() -> None:
    generator = np.random.default_rng(0)
    gold = ["a"] * 300
    b = generator.choice(["a", "b"], size=300).tolist()
    a = ["a" if i < 60 else label for i, label in enumerate(b)]  # never worse, sometimes better
    found = stats.paired("accuracy", gold, a, b, LABELS, 1000)
    assert found.p < 0.01
    assert stats.score("accuracy", gold, a, LABELS, 1000).low < (
        stats.score("accuracy", gold, b, LABELS, 1000).high
    )


GOLD_TAGS = [["O"] * 9 + ["B-X"]] * 20


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [
        (["a"] * 100, ["a", "b"] * 50, True),
        (["a"] * 99 + ["b"], ["a", "b"] * 50, True),
        (["a"] * 98 + ["b"] * 2, ["a", "b"] * 50, False),
        (["a"] * 100, ["a"] * 100, False),  # the gold has no more either
        (["a"] * 99 + ["b"], ["a"] * 99 + ["b"], False),
        ([["O"] * 10] * 20, GOLD_TAGS, True),
        (GOLD_TAGS, GOLD_TAGS, False),
        ([], [], False),
        ([[]], [[]], False),
    ],
)
def test_collapse(predicted: Any, gold: Any, expected: bool) -> None:
    assert stats.collapsed(predicted, gold) is expected


def verdict(
    deltas: dict[str, tuple[float, float]], own: float = 0.5, collapsed: bool = False
) -> stats.Verdict:
    """`deltas`: by baseline, adapter minus it and p."""
    gold = ["a", "b"] * 50
    predicted = ["a"] * 100 if collapsed else gold
    common: dict[str, Any] = {"language": "yor_Latn", "metric": "macro_f1"}
    interval: dict[str, Any] = {
        "low": 0.4,
        "high": 0.6,
        "role": "target",
        "split": "test",
        "n": 100,
    }
    comparisons = [
        Comparison(a="adapter", b=b, delta=d, low=d - 0.1, high=d + 0.1, p=p, seed=1, **common)
        for b, (d, p) in deltas.items()
    ]
    scores = [
        Score(system="adapter", seed=1, value=own, **common, **interval),
        Score(system="adapter", seed=2, value=0.9, **common, **interval),
        *(Score(system=b, value=own - d, **common, **interval) for b, (d, _) in deltas.items()),
    ]
    return stats.judge("yor_Latn", gold, predicted, comparisons, scores, 1)


SURE, UNSURE = 0.002, 0.4


@pytest.mark.parametrize(
    ("deltas", "collapsed", "expected"),
    [
        ({"majority": (0.4, SURE), "tfidf": (0.3, SURE), "probe": (0.1, SURE)}, False, "transfers"),
        (
            {"majority": (0.4, SURE), "tfidf": (0.3, SURE), "probe": (-0.02, UNSURE)},
            False,
            "transfers",
        ),
        ({"majority": (0.4, SURE), "tfidf": (0.05, UNSURE)}, False, "no better than TF-IDF"),
        ({"majority": (0.4, SURE), "tfidf": (-0.2, SURE)}, False, "no better than TF-IDF"),
        ({"majority": (0.4, SURE), "lookup": (0.01, UNSURE)}, False, "no better than lookup"),
        ({"tfidf": (0.3, SURE), "lookup": (0.01, UNSURE)}, False, "no better than lookup"),
        (
            {"majority": (0.4, SURE), "tfidf": (0.3, SURE), "probe": (-0.1, SURE)},
            False,
            "negative transfer",
        ),
        ({"majority": (-0.1, SURE), "tfidf": (-0.3, SURE)}, False, "negative transfer"),
        ({"majority": (0.0, 1.0), "tfidf": (-0.2, SURE)}, True, "collapsed"),
        ({"majority": (0.1, SURE), "tfidf": (0.2, SURE)}, True, "transfers"),
        ({"tfidf": (-0.2, SURE)}, True, "collapsed"),
        ({"majority": (0.4, SURE), "tfidf-target": (0.1, SURE)}, False, "not judged"),
        ({}, False, "not judged"),
    ],
)
def test_verdicts(deltas: dict[str, tuple[float, float]], collapsed: bool, expected: str) -> None:
    assert verdict(deltas, collapsed=collapsed).verdict == expected


def test_a_verdict_gives_its_figures() -> None:
    found = verdict({"majority": (0.4, SURE), "tfidf": (0.3, SURE), "probe": (0.05, UNSURE)})
    assert found.reason == (
        "macro-f1 0.500 (95% 0.400 to 0.600, n 100): significantly above TF-IDF 0.200 (+30.0 "
        "points, 95% +20.0 to +40.0, p 0.002); probe 0.450 (+5.0 points, 95% -5.0 to +15.0, "
        "p 0.400)"
    )


def test_a_mean_over_test_sets_is_as_sure_as_all_of_them():
    gold = ["a", "b", "c"] * 40
    half = [g if i % 2 else "a" for i, g in enumerate(gold)]
    third = [g if i % 3 else "b" for i, g in enumerate(gold)]
    alone = stats.score("macro_f1", gold, half, ("a", "b", "c"), 300)
    assert stats.mean_score("macro_f1", [(gold, half)], ("a", "b", "c"), 300) == alone
    both = stats.mean_score("macro_f1", [(gold, half), (gold, third)], ("a", "b", "c"), 300)
    other = stats.score("macro_f1", gold, third, ("a", "b", "c"), 300)
    assert both.value == pytest.approx((alone.value + other.value) / 2)
    assert both.low < both.value < both.high
    assert both.n == 240
    with pytest.raises(ValueError, match="no test sets"):
        stats.mean_score("macro_f1", [], ("a",), 300)
