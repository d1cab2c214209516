"""Baselines: trained on the source, quiet, and about as strong as they are known to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowres import registry, stats
from lowres.baselines import BaselineContext
from lowres.baselines.lookup import Lexicon
from lowres.data import LabelledData
from lowres.tasks import Prediction, TaskOptions, classification, pairs, tagging

TOPICS = {
    "text": ["the team won the match", "the players ran", "a doctor gave medicine", "the hospital"]
    * 3,
    "label": ["sports", "sports", "health", "health"] * 3,
}
TAGGED = {
    "tokens": [["The", "dog", "walks"], ["the", "cat", "talks"], ["A", "bird", "Tom"]],
    "tags": [["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB"], ["DET", "NOUN", "PROPN"]],
}
PAIRS = {
    "text": ["it rains", "it snows", "it rains", "it snows"] * 4,
    "text_pair": ["it rains", "it rains", "it snows", "it snows"] * 4,
    "label": ["no", "yes", "no", "yes"] * 4,
}
CASES: dict[str, tuple[TaskOptions, dict[str, list[Any]]]] = {
    "classification": (classification.Options(name="classification"), TOPICS),
    "tagging": (tagging.Options(name="tagging"), TAGGED),
    "pairs": (pairs.Options(name="pairs"), PAIRS),
}
SYSTEMS = [
    *((task, name) for task in ("classification", "pairs") for name in ("tfidf", "tfidf_target")),
    *(("tagging", name) for name in ("lookup", "lookup_target")),
    *((task, name) for task in CASES for name in ("majority", "probe")),
]
LEARNERS = [(task, name) for task, name in SYSTEMS if name != "majority"]


def dataset(columns: dict[str, list[Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(columns)


def labelled(columns: dict[str, list[Any]], target: dict[str, list[Any]] | None = None) -> Any:
    """Source eng_Latn; targets yor_Latn with training data, wol_Latn without."""
    source = dataset(columns)
    test = dataset(target or columns)
    return LabelledData(
        labels=(),
        train=source,
        dev=source,
        tests={"eng_Latn": source, "yor_Latn": test, "wol_Latn": test},
        target_train={"yor_Latn": test},
        records=(),
        splits={},
        warnings=(),
    )


def letters(examples: Any) -> Any:
    """A stand-in for the frozen base: letter counts of every text, or of every word."""
    if "tokens" in examples.column_names:
        return [np.stack([_letters(word) for word in words]) for words in examples["tokens"]]
    return np.stack([_letters(text) for text in examples["text"]])


def _letters(text: str) -> Any:
    return np.asarray([text.count(letter) for letter in "abcdefghilmnoprstw"], dtype=np.float32)


def predict(task: str, name: str, **changed: Any) -> dict[str, list[Prediction]]:
    options, columns = CASES[task]
    data = labelled(changed.get("columns", columns), changed.get("target"))
    context = BaselineContext(data=data, task=options, embed=changed.get("embed", letters))
    answers: dict[str, list[Prediction]] = registry.module("baselines", name).predict(context)
    return answers


def test_system_names_are_file_names_with_dashes() -> None:
    for name in registry.names("baselines"):
        system = registry.module("baselines", name).SYSTEM
        assert system == name.replace("_", "-")


@pytest.mark.parametrize(("task", "name"), SYSTEMS)
def test_every_example_gets_a_label_and_a_probability(task: str, name: str) -> None:
    options, columns = CASES[task]
    answers = predict(task, name)
    on_target_only = name.endswith("_target")
    assert list(answers) == (
        ["yor_Latn"] if on_target_only else ["eng_Latn", "yor_Latn", "wol_Latn"]
    )
    assert answers == predict(task, name)  # nothing is drawn by chance
    for rows in answers.values():
        for gold, row in zip(columns[options.gold_field], rows, strict=True):
            if task == "tagging":
                assert isinstance(row.probability, list)
                assert len(row.answer) == len(gold) == len(row.probability)
                assert all(0 < share <= 1 for share in row.probability)
            else:
                assert isinstance(row.answer, str)
                assert isinstance(row.probability, float)
                assert 0 < row.probability <= 1


@pytest.mark.parametrize(("task", "name"), LEARNERS)
def test_what_was_seen_in_training_is_answered_right(task: str, name: str) -> None:
    options, columns = CASES[task]
    answers = [row.answer for row in predict(task, name)["yor_Latn"]]
    assert answers == columns[options.gold_field]


def test_majority_is_of_the_source() -> None:
    target = {"text": ["x"] * 3, "label": ["health"] * 3}
    columns = {"text": ["a", "b", "c"], "label": ["sports", "sports", "health"]}
    answers = predict("classification", "majority", columns=columns, target=target)
    assert answers["yor_Latn"] == [Prediction("sports", 2 / 3)] * 3
    assert predict("tagging", "majority")["eng_Latn"][0] == Prediction(["DET"] * 3, [1 / 3] * 3)


@pytest.mark.parametrize("name", ["tfidf", "probe"])
def test_one_class_in_training_is_always_that_class(name: str) -> None:
    columns = {"text": ["one text", "another text"], "label": ["health", "health"]}
    answers = predict("classification", name, columns=columns)
    assert answers["eng_Latn"] == [Prediction("health", 1.0)] * 2


def test_text_and_text_pair_have_their_own_vocabulary() -> None:
    columns = {
        "text": ["rain", "snow"] * 4, "text_pair": ["snow", "rain"] * 4, "label": ["x", "y"] * 4
    }  # fmt: skip
    answers = predict("pairs", "tfidf", columns=columns)  # one bag of both sides tells nothing
    assert [row.answer for row in answers["eng_Latn"]] == columns["label"]


def test_fewer_columns_give_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowres.baselines import tfidf

    target = {"text": ["the match of the doctor", "a team in hospital"], "label": ["sports"] * 2}
    rotated = predict("classification", "tfidf", target=target)
    monkeypatch.setattr(tfidf, "ROTATED_EXAMPLES", 0)
    plain = predict("classification", "tfidf", target=target)
    for a, b in zip(rotated["yor_Latn"], plain["yor_Latn"], strict=True):
        assert a.answer == b.answer
        assert a.probability == pytest.approx(b.probability, abs=1e-3)


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("Tom", "PROPN"),  # the very form
        ("DOG", "NOUN"),  # its lower case
        ("stalks", "VERB"),  # the ending -alks
        ("Zulu", "DET"),  # capitals: The, A, Tom
        ("yyy", "NOUN"),  # small letters: dog, cat, bird, walks, talks, the
        ("!", "DET"),  # no sign was ever seen: the most frequent tag, first in the alphabet
        ("", "DET"),
    ],
)
def test_lookup_backs_off(word: str, tag: str) -> None:
    assert Lexicon(dataset(TAGGED)).tag(word)[0] == tag


def test_the_probe_needs_the_base() -> None:
    with pytest.raises(ValueError, match=r"BaselineContext\.embed"):
        predict("classification", "probe", embed=None)


@pytest.mark.data
@pytest.mark.parametrize(
    ("recipe", "overrides", "baseline", "metric", "low", "high"),
    [
        (
            "topics-sib200",
            [
                "languages.targets=[hau_Latn,yor_Latn]",
                "data.files={}/sib200/{{lang}}/{{split}}.tsv",
            ],
            "tfidf",
            "macro_f1",
            0.15,
            0.35,
        ),
        (
            "pos-ud",
            ["data.files={}/ud/*/{{lang}}-ud-{{split}}.conllu"],
            "lookup",
            "accuracy",
            0.30,
            0.40,
        ),
    ],
)
def test_strength_on_real_data(
    shared_data: Path,
    recipe: str,
    overrides: list[str],
    baseline: str,
    metric: str,
    low: float,
    high: float,
) -> None:
    from lowres import data, recipe_loading

    loaded = recipe_loading.load(recipe, [line.format(shared_data) for line in overrides])
    real = data.load(loaded)
    context = BaselineContext(data=real, task=loaded.task)
    answers = registry.module("baselines", baseline).predict(context)
    values = [
        stats.score(
            metric,
            real.tests[target][loaded.task.gold_field][:],
            [row.answer for row in answers[target]],
            real.labels,
            100,
        ).value
        for target in loaded.languages.targets
    ]
    assert low < float(np.mean(values)) < high
