from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset

from lowres import comparing, predictions, stats
from lowres.data import LabelledData
from lowres.predictions import Answers
from lowres.recipe_loading import from_mapping
from lowres.tasks import Prediction

LABELS = ("fine", "poor")
GOLD = [LABELS[i % 2] for i in range(40)]
LANGUAGES = ("eng_Latn", "swh_Latn", "urd_Arab")
BASE = ("base-as-is", "base-as-is/1")
METRIC = "accuracy"


def recipe() -> Any:
    return from_mapping(
        {
            "name": "study",
            "base": {"name": "tiny"},
            "languages": {"source": "eng_Latn", "targets": ["swh_Latn", "urd_Arab"]},
            "data": {"files": "{lang}/{split}.tsv"},
            "task": {"name": "classification"},
            "evaluate": {"bootstrap": 200},
        }
    )


def labelled() -> LabelledData:
    test = Dataset.from_list([{"id": str(i), "label": label} for i, label in enumerate(GOLD)])
    return LabelledData(LABELS, test, test, dict.fromkeys(LANGUAGES, test), {}, (), {}, ())


def answered(correct: int) -> list[str]:
    """The first `correct` answers are right, the others wrong."""
    return [LABELS[(i if i < correct else i + 1) % 2] for i in range(len(GOLD))]


@pytest.fixture
def answers(tmp_path):
    """`answers({(folder, language): right answers})`."""

    def make(correct: dict[tuple[str, str], int]) -> Answers:
        data = labelled()
        for (where, language), right in correct.items():
            rows = [Prediction(answer, 0.9) for answer in answered(right)]
            file = predictions.path_of(tmp_path, where, language)
            predictions.write(file, data.tests[language], "label", rows)
        return Answers(tmp_path, dict.fromkeys(LANGUAGES, GOLD))

    return make


def everywhere(where: str, *correct: int) -> dict[tuple[str, str], int]:
    return {(where, language): n for language, n in zip(LANGUAGES, correct, strict=True)}


def test_each_language_has_a_row_for_each_system_that_answered_it(answers):
    said = answers(
        {
            **everywhere("1", 36, 30, 20),
            **everywhere(BASE[1], 36, 20, 30),
            ("tfidf", "swh_Latn"): 10,
        }
    )
    systems = [("tfidf", "tfidf"), BASE]
    rows = comparing.with_systems(recipe(), labelled(), said, systems, METRIC, seed=1)
    assert [(row.language, row.b) for row in rows] == [
        ("eng_Latn", "base-as-is"),
        ("swh_Latn", "tfidf"),
        ("swh_Latn", "base-as-is"),
        ("urd_Arab", "base-as-is"),
    ]
    assert {(row.a, row.metric, row.seed) for row in rows} == {("adapter", METRIC, 1)}
    assert [row.delta for row in rows] == pytest.approx([0.0, 0.5, 0.25, -0.25])
    assert all(row.low <= row.delta <= row.high for row in rows)


def test_the_mean_is_over_targets_without_the_source(answers):
    said = answers({**everywhere("1", 0, 36, 28), **everywhere(BASE[1], 40, 20, 24)})
    (row,) = comparing.over_targets(recipe(), labelled(), said, [BASE], METRIC, seed=1)
    assert (row.a, row.b, row.language, row.seed) == ("adapter", "base-as-is", "targets", 1)
    assert row.delta == pytest.approx((16 / 40 + 4 / 40) / 2)
    assert 0 < row.low < row.delta < row.high


def test_the_mean_is_paired_as_each_language_is(answers):
    """Of one target it is that target's own comparison."""
    one = from_mapping(
        {
            **recipe().model_dump(mode="json"),
            "languages": {"source": "eng_Latn", "targets": "urd_Arab"},
        }
    )
    said = answers({**everywhere("1", 0, 0, 30), **everywhere(BASE[1], 0, 0, 25)})
    (mean,) = comparing.over_targets(one, labelled(), said, [BASE], METRIC, seed=1)
    own = stats.paired(METRIC, GOLD, answered(30), answered(25), LABELS, 200)
    assert (mean.delta, mean.low, mean.high, mean.p) == (own.delta, own.low, own.high, own.p)


def test_a_system_that_lacks_a_target_has_no_mean(answers):
    correct = {**everywhere("1", 30, 30, 30), **everywhere(BASE[1], 20, 20, 20)}
    del correct[BASE[1], "urd_Arab"]
    said = answers(correct)
    assert comparing.over_targets(recipe(), labelled(), said, [BASE], METRIC, seed=1) == []
    assert len(comparing.with_systems(recipe(), labelled(), said, [BASE], METRIC, seed=1)) == 2


def test_equal_systems_do_not_differ(answers):
    said = answers({**everywhere("1", 30, 30, 30), **everywhere(BASE[1], 30, 30, 30)})
    (row,) = comparing.over_targets(recipe(), labelled(), said, [BASE], METRIC, seed=1)
    assert (row.delta, row.low, row.high, row.p) == (0, 0, 0, 1)
