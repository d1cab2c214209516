"""Metrics against scikit-learn and seqeval, and as `evaluate` modules without a network."""

from __future__ import annotations

import warnings
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import registry

LABELS = ("a", "b", "c")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")

pairs_of_labels = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abc")), min_size=1)
pairs_of_sentences = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=8), min_size=1
)


def value(metric: str, gold: list[Any], predicted: list[Any], labels: Any = LABELS) -> float:
    module = registry.module("metrics", metric)
    sums = module.statistics(gold, predicted, labels).sum(axis=0)
    return float(module.from_statistics(sums, labels))


@given(pairs_of_labels)
def test_macro_f1_and_accuracy_are_those_of_scikit_learn(rows: list[tuple[str, str]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    gold, predicted = map(list, zip(*rows, strict=True))
    expected = f1_score(gold, predicted, average="macro", zero_division=0.0)
    assert value("macro_f1", gold, predicted) == pytest.approx(expected)
    assert value("accuracy", gold, predicted) == pytest.approx(accuracy_score(gold, predicted))


@given(pairs_of_sentences)
def test_word_metrics_are_over_all_words(rows: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in row] for row in rows]
    predicted = [[p for _, p in row] for row in rows]
    flat_gold, flat_predicted = list(chain(*gold)), list(chain(*predicted))
    if flat_gold:
        for metric in ("macro_f1", "accuracy"):
            expected = value(metric, flat_gold, flat_predicted)
            assert value(metric, gold, predicted) == pytest.approx(expected)
    else:
        assert value("accuracy", gold, predicted) == 0


@given(pairs_of_sentences)
def test_span_f1_is_that_of_seqeval(rows: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in row] for row in rows]
    predicted = [[p for _, p in row] for row in rows]
    assert value("span_f1", gold, predicted, TAGS) == pytest.approx(seqeval_f1(gold, predicted))


def seqeval_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    scoring = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no span
        return float(scoring.f1_score(gold, predicted))


@pytest.mark.parametrize(
    ("tags", "spans", "repairs"),
    [
        ("O B-LOC I-LOC O", {("LOC", 1, 3)}, 0),
        ("I-LOC I-LOC", {("LOC", 0, 2)}, 1),
        ("B-LOC I-PER I-PER", {("LOC", 0, 1), ("PER", 1, 3)}, 1),
        ("B-LOC B-LOC", {("LOC", 0, 1), ("LOC", 1, 2)}, 0),
        ("B-LOC O I-LOC", {("LOC", 0, 1), ("LOC", 2, 3)}, 1),
        ("", set(), 0),
    ],
)
def test_bio_is_repaired_and_counted(
    tags: str, spans: set[tuple[str, int, int]], repairs: int
) -> None:
    module = registry.module("metrics", "span_f1")
    assert module.spans(tags.split()) == spans
    assert module.repairs(tags.split()) == repairs


def test_span_statistics_are_by_type() -> None:
    module = registry.module("metrics", "span_f1")
    found = module.statistics(
        [["B-LOC", "I-LOC", "B-PER"]], [["B-LOC", "O", "B-PER"]], TAGS
    ).reshape(3, 2)
    assert found.tolist() == [[0, 1], [1, 0], [1, 0]]


def test_a_gold_label_that_the_source_never_showed_counts_as_zero() -> None:
    assert value("macro_f1", ["a", "religion"], ["a", "a"]) == pytest.approx((2 / 3) / 2)


@pytest.mark.parametrize("metric", registry.names("metrics"))
def test_statistics_add_up_over_resamples(metric: str) -> None:
    module = registry.module("metrics", metric)
    generator = np.random.default_rng(0)
    gold, predicted = (
        [generator.choice(TAGS, size=n).tolist() for n in range(1, 9)] for _ in range(2)
    )
    statistics = module.statistics(gold, predicted, TAGS)
    counts = generator.integers(1, 3, size=(5, len(gold))).astype(float)
    values = module.from_statistics(counts @ statistics, TAGS)
    assert values.shape == (5,)
    for row, found in zip(counts.astype(int), values, strict=True):
        picked = np.repeat(np.arange(len(gold)), row)
        again = value(metric, [gold[i] for i in picked], [predicted[i] for i in picked], TAGS)
        assert found == pytest.approx(again)


@pytest.mark.parametrize(
    ("metric", "gold", "predicted", "expected"),
    [
        ("accuracy", ["a", "b"], ["a", "a"], {"accuracy": 0.5}),
        ("accuracy", [["a", "b"], ["a"]], [["a", "a"], ["a"]], {"accuracy": 2 / 3}),
        ("macro_f1", ["a", "b"], ["a", "a"], {"macro_f1": 1 / 3}),
        ("macro_f1", [["a", "b"]], [["a", "a"]], {"macro_f1": 1 / 3}),
        ("span_f1", [["B-X", "O"]], [["I-X", "O"]], {"span_f1": 1.0, "repaired": 1}),
    ],
)
def test_each_metric_loads_with_evaluate(
    metric: str, gold: list[Any], predicted: list[Any], expected: dict[str, float]
) -> None:
    import evaluate

    module = registry.module("metrics", metric)
    loaded = evaluate.load(str(Path(str(module.__file__))))
    found = loaded.compute(references=gold, predictions=predicted)
    assert found == pytest.approx(expected)
