"""Translate-train and translate-test: translations by id, systems of their own beside zero-shot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_translated import OTHER, TARGET, change, in_target, recipe

from lowres import bases, data, pipeline, preparation, translated
from lowres.errors import RecipeError
from lowres.metrics.span_f1 import spans
from lowres.predictions import path_of, read, write
from lowres.recipe_loading import digest, from_mapping
from lowres.study import Study
from lowres.tasks import Prediction

LOCATED = bases.LocatedBase("x", "", None, None, "folder")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_both_are_systems_beside_zero_shot(tmp_path: Path, tiny_base: Path, task: str) -> None:
    # so that none of three seeds collapses: then nothing would be compared with it
    settings = {"epochs": 24, "max_tokens": 60, "learning_rate": 3e-3}
    of_study = recipe(tmp_path, tiny_base, task, settings=settings)
    out = tmp_path / "run"
    results = pipeline.run(of_study, out)
    scores = {(s.system, s.metric): s for s in results.scores if s.language == TARGET}
    assert {name for name, _ in scores} == {
        "adapter", "majority", "translate-train", "translate-test",
    }  # fmt: skip
    assert all(s.low <= s.value <= s.high and s.n == 24 for s in scores.values())
    beside = {c.b for c in results.comparisons if c.language == TARGET}
    assert {"translate-train", "translate-test"} <= beside
    # its test set in the source's language is the source's own here
    answers = [
        [row.answer for row in read(out / "predictions" / place)]
        for place in (f"translate-test/1/{TARGET}.jsonl", "1/eng_Latn.jsonl")
    ]
    records = {record.use: record for record in results.translations}
    assert {use: record.n for use, record in records.items()} == {"train": 24, "test": 24}
    assert records["train"].where.endswith(f"into/{TARGET}.jsonl")
    if task == "classification":
        assert answers[0] == answers[1]
        assert records["train"].left_out == 0
    else:
        assert all(len(a) == len(b) for a, b in zip(*answers, strict=True))
        assert (records["train"].spans, records["train"].lost) == (32, 0)
    # as many steps as the zero-shot training, on twice the examples
    notes = [
        json.loads((out / place / "manifest.json").read_text(encoding="utf-8"))["notes"]
        for place in ("train/1", "translate-train/train/1")
    ]
    assert notes[0]["steps"] == notes[1]["steps"] == 72
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "What translations bring" in page
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    assert pipeline.run(of_study, out).scores == results.scores
    assert before == {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}


@pytest.mark.slow
def test_the_zero_shot_adapter_is_what_it_is_without_translations(
    tmp_path: Path, tiny_base: Path
) -> None:
    with_them = recipe(tmp_path, tiny_base, targets=(TARGET, OTHER))
    plain = with_them.model_copy(update={"translated": None})
    found = [pipeline.run(each, tmp_path / name) for each, name in ((with_them, "a"), (plain, "b"))]
    first, second = (
        (tmp_path / name / "predictions/1/swh_Latn.jsonl").read_bytes() for name in "ab"
    )
    assert first == second
    assert [s.system for s in found[1].scores if s.system.startswith("translate")] == []
    # one training a target, each answering its own test set alone
    stages = {stage.name for stage in found[0].stages}
    assert "translate-train: 2 trainings" in stages
    answered = {(s.system, s.language) for s in found[0].scores if s.system.startswith("translate")}
    assert answered == {
        (system, code)
        for system in ("translate-train", "translate-test")
        for code in (TARGET, OTHER)
    }


def test_a_training_for_each_target_or_one_for_all(tmp_path: Path) -> None:
    codes = (TARGET, OTHER)
    apart = recipe(tmp_path, tmp_path, targets=codes)
    assert translated.places(apart) == [f"translate-train/{code}/" for code in codes]
    assert not any(v.scores_source for v in translated.variants(apart, LOCATED))
    together = recipe(tmp_path, tmp_path, targets=codes, together=True)
    (one,) = translated.variants(together, LOCATED)
    assert (one.folder, one.targets, one.scores_source) == ("translate-train/", codes, True)
    assert preparation.training_names(together) == ["train/1", "translate-train/train/1"]
    some = {TARGET: str(tmp_path / f"into/{TARGET}.jsonl")}
    (one,) = translated.variants(recipe(tmp_path, tmp_path, targets=codes, train=some), LOCATED)
    assert one.targets == (TARGET,)
    assert translated.places(recipe(tmp_path, tmp_path, train=None)) == []


def test_labels_come_by_id_whatever_the_order(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base)
    labelled = data.load(of_study)
    found = translated.train_data(of_study, labelled, labelled, (TARGET,))
    rows = found.data.train.to_list()
    assert len(rows) == 48
    for old, new in zip(rows[:24], rows[24:], strict=True):
        assert new["text"] == in_target(old)["text"]
        assert new["label"] == old["label"]
        assert (new["id"], new["language"]) == (f"{old['id']}+{TARGET}", TARGET)
    assert found.data.dev.to_list() == labelled.dev.to_list()
    alone = recipe(tmp_path, tiny_base, with_source=False)
    assert len(translated.train_data(alone, labelled, labelled, (TARGET,)).data.train) == 24


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    cut = {"tokens": row["tokens"][:-1]} if "tokens" in row else {"text": row["text"][:-7]}
    return {**row, **cut}


@pytest.mark.parametrize("kind", ["tokens", "text"])
def test_tags_stand_on_the_words_that_they_are_of(
    tmp_path: Path, tiny_base: Path, kind: str
) -> None:
    of_study = recipe(tmp_path, tiny_base, "tagging")
    if kind == "text":
        change(
            tmp_path / f"into/{TARGET}.jsonl",
            lambda rows: [{"id": row["id"], "text": " ".join(row["tokens"])} for row in rows],
        )
    # the translation of 1, three places, has two
    change(
        tmp_path / f"into/{TARGET}.jsonl",
        lambda rows: [shortened(row) if row["id"] == "1" else row for row in rows],
    )
    labelled = data.load(of_study)
    found = translated.train_data(of_study, labelled, labelled, (TARGET,))
    rows, (record,) = found.data.train.to_list(), found.records
    originals, kept = {row["id"]: row for row in rows[:24]}, rows[24:]
    assert (record.left_out, record.spans, record.lost) == (1, 32, 1)
    assert [row["id"] for row in kept] == [f"{n}+{TARGET}" for n in range(24) if n != 1]
    for new in kept:
        old = originals[new["id"].split("+")[0]]
        assert spans(new["tags"]) == spans(old["tags"])
        assert new["tokens"] == [word[::-1] for word in old["tokens"]]


def test_answers_to_a_translation_stand_on_the_words_of_the_original(
    tmp_path: Path, tiny_base: Path
) -> None:
    of_study = recipe(tmp_path, tiny_base, "tagging")
    labelled = data.load(of_study)
    asked = translated.test_data(of_study, labelled)
    translation, original = asked.tests[TARGET], labelled.tests[TARGET]
    assert translation["tokens"][0] == labelled.tests["eng_Latn"]["tokens"][0]
    assert {tag for tags in translation["tags"] for tag in tags} == {"O"}
    # the right answers to the source's words, as an adapter would give them
    gold = list(labelled.tests["eng_Latn"]["tags"])
    answers = [Prediction(list(tags), [0.9] * len(tags)) for tags in gold]
    raw = path_of(tmp_path / "answers", translated.raw_answers(of_study, 1), TARGET)
    write(raw, translation, "tags", answers)
    (record,) = translated.carry_back(of_study, labelled, asked, tmp_path / "answers")
    found = read(path_of(tmp_path / "answers", "translate-test/1", TARGET))
    right = sum(spans(f.answer) == spans(g) for f, g in zip(found, original["tags"], strict=True))
    assert (record.use, record.spans, record.lost) == ("test", 32, 0)
    assert right == 24
    for row, tags in zip(found, original["tags"], strict=True):
        assert isinstance(row.probability, list)
        assert len(row.answer) == len(row.probability) == len(tags)
        assert {*row.probability} <= {0.0, 0.9}


def test_a_class_needs_no_way_back(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base)
    labelled = data.load(of_study)
    asked = translated.test_data(of_study, labelled)
    rows = zip(asked.tests[TARGET].to_list(), labelled.tests[TARGET].to_list(), strict=True)
    for new, old in rows:
        assert (new["id"], new["label"]) == (old["id"], old["label"])
        assert in_target(new)["text"] == old["text"]
    assert translated.raw_answers(of_study, 3) == "translate-test/3"


def test_another_translation_trains_anew_and_nothing_else(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, targets=(TARGET, OTHER))
    labelled, folder = data.load(of_study), pipeline.RunFolder(tmp_path / "run")
    variants = tuple(preparation.variants(of_study, LOCATED, folder))
    known: Any = (of_study, labelled, LOCATED, None, folder, variants, "", None, None)

    def inputs() -> dict[str, str]:
        its = Study(*known)
        return {v.folder: its.inputs_of(v, 1) for v in variants} | {"": its.answered_inputs}

    before = inputs()
    change(tmp_path / f"into/{TARGET}.jsonl", lambda rows: [*rows, {"id": "more", "text": "x"}])
    after = inputs()
    assert before.keys() == after.keys()
    assert {place for place in before if before[place] != after[place]} == {
        f"translate-train/{TARGET}/", "",
    }  # fmt: skip


def test_epochs_of_its_own(tmp_path: Path) -> None:
    plain = recipe(tmp_path, tmp_path)
    assert translated.recipe_of(plain, 12).train.steps == 12
    counted = recipe(tmp_path, tmp_path, settings={"steps": 7})
    assert translated.recipe_of(counted, 12).train.steps == 7
    asked = recipe(tmp_path, tmp_path, settings={"steps": 7}, epochs=5)
    found = translated.recipe_of(asked, 12).train
    assert (found.epochs, found.steps) == (5, None)


def test_a_smaller_vocabulary_keeps_what_translations_need(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, "tagging")
    found = list(translated.lines(of_study, data.load(of_study)))
    assert "tekram" in found
    assert any("rotcod rotcod" in line for line in found)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"train": None, "test": None}, "translated says nothing: give translated.train or"),
        ({"train": {OTHER: "x.csv"}}, "translated.train: names yor_Latn, expected targets"),
        ({"test": {OTHER: "x.csv"}}, "translated.test: names yor_Latn, expected targets"),
        ({"train": None, "together": True}, "translated.together: is of translate-train"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, section: Any, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(tmp_path, tmp_path, **section)
    assert said in str(caught.value)


def test_one_file_for_two_targets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"has no \{lang\}: swh_Latn, yor_Latn would all be"):
        recipe(tmp_path, tmp_path, targets=(TARGET, OTHER), train="into.jsonl")


def test_a_recipe_without_translations_is_what_it_was(tmp_path: Path) -> None:
    plain = recipe(tmp_path, tmp_path).model_dump(mode="json")
    del plain["translated"]
    # worked out before there was the key
    named = from_mapping({**plain, "base": {"name": "e5-small"}, "data": {"files": "{lang}"}})
    assert digest(named) == "813c9e71"


@pytest.mark.data
def test_nusax_is_aligned_by_id(shared_data: Path) -> None:
    """500 sentences of Indonesian by people in Acehnese, and back."""
    folder = shared_data / "nusax"
    of_study = from_mapping(
        {
            "name": "nusax",
            "base": {"name": "e5-small"},
            "languages": {"source": "ind_Latn", "targets": ["ace_Latn", "bug_Latn"]},
            "data": {
                "files": str(folder / "{lang}/{split}.csv"),
                "names": {
                    "ind_Latn": "indonesian", "ace_Latn": "acehnese", "bug_Latn": "buginese",
                },
            },
            "task": {"name": "classification"},
            "translated": {
                "train": str(folder / "{lang}/train.csv"),
                "test": str(folder / "indonesian/test.csv"),
                "names": {"ace_Latn": "acehnese", "bug_Latn": "buginese"},
            },
        }
    )  # fmt: skip
    labelled = data.load(of_study)
    translated.check(of_study, labelled)
    found = translated.train_data(of_study, labelled, labelled, ("ace_Latn", "bug_Latn"))
    assert len(found.data.train) == 1500
    asked, original = (
        d.tests["bug_Latn"] for d in (translated.test_data(of_study, labelled), labelled)
    )
    assert list(asked["label"]) == list(original["label"])
    by_id = dict(
        zip(labelled.tests["ind_Latn"]["id"], labelled.tests["ind_Latn"]["text"], strict=True)
    )
    assert list(asked["text"]) == [by_id[name] for name in original["id"]]
