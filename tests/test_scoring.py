from __future__ import annotations

from importlib import metadata

import pytest
from datasets import Dataset

from lowres import predictions, scoring
from lowres.artifacts import RunFolder
from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.recipe_loading import from_mapping
from lowres.results import DataRecord, Results, SeedRecord
from lowres.tasks import Prediction

LABELS = ("fine", "poor")
LOCATED = LocatedBase("tiny", "/bases/tiny", "someone/tiny", "c0ffee", "hub")
N = 40


def recipe(**sections):
    return from_mapping(
        {
            "name": "study",
            "base": {"name": "tiny"},
            "languages": {"source": "eng_Latn", "targets": ["swh_Latn", "urd_Arab"]},
            "data": {"files": "{lang}/{split}.tsv"},
            "task": {"name": "classification"},
            "evaluate": {"bootstrap": 200},
            "seeds": [1, 2, 3],
        }
        | sections
    )


def labelled(languages=("eng_Latn", "swh_Latn", "urd_Arab")):
    rows = [{"id": str(i), "text": f"text {i}", "label": LABELS[i % 2]} for i in range(N)]
    test = Dataset.from_list(rows)
    return LabelledData(
        labels=LABELS,
        train=test,
        dev=test,
        tests=dict.fromkeys(languages, test),
        target_train={},
        records=(DataRecord(language="eng_Latn", split="train", n=N, where="a.tsv"),),
        splits={**dict.fromkeys(languages, "test"), "eng_Latn": "dev"},
        warnings=("eng_Latn: no test split",),
    )


def answers(correct):
    """The first `correct` answers are right, the others wrong; surest last."""
    return [Prediction(LABELS[(i if i < correct else i + 1) % 2], 0.5 + i / 1000) for i in range(N)]


def notes(seed, status="ok", **more):
    return {
        "seed": seed, "status": status, "retried": status != "ok", "learning_rate": 1e-3,
        "best_step": 5, "steps": 9, "dev": 0.8, "parameters": 1000, "trainable_parameters": 10,
        "curves": [[1, 0.5, "loss", 0.7]], **more,
    }  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    """A run folder whose stages say this: system or seed -> language -> right answers."""

    def write(correct, statuses=("ok", "ok", "ok"), data=None, **more):
        data, folder = data or labelled(), RunFolder(tmp_path)
        for seed, status in enumerate(statuses, start=1):
            with folder.stage(f"train/{seed}", "a") as stage:
                stage.notes.update(notes(seed, status, **more))
        with folder.stage("evaluate", "a") as stage:
            for system, by_language in correct.items():
                for language, right in by_language.items():
                    file = predictions.path_of(stage.path / "predictions", system, language)
                    predictions.write(file, data.tests[language], "label", answers(right))
            stage.notes.update(
                systems=[name for name in correct if not name.isdigit()],
                tokenizer=[],
                warnings=["swh_Latn: 2 words cut"],
                **more,
            )
        return folder

    return write


def everywhere(right):
    return dict.fromkeys(("eng_Latn", "swh_Latn", "urd_Arab"), right)


def collect(folder, study=None, data=None):
    machine = Hardware("cpu", "fp32")
    return scoring.collect(
        study or recipe(), data or labelled(), LOCATED, machine, folder, 9.0, 5.0
    )


def test_everything_that_the_report_needs(finished):
    correct = {
        "1": {"eng_Latn": 40, "swh_Latn": 30, "urd_Arab": 36},
        "2": {"eng_Latn": 38, "swh_Latn": 34, "urd_Arab": 38},
        "3": {"eng_Latn": 36, "swh_Latn": 20, "urd_Arab": 20},
        "majority": everywhere(20),
        "tfidf": {"eng_Latn": 24, "swh_Latn": 29, "urd_Arab": 24},
        "tfidf-target": {"swh_Latn": 39},
    }
    results = collect(finished(correct))
    assert Results.model_validate_json(results.model_dump_json(by_alias=True)) == results
    accuracy = {
        (s.system, s.seed, s.language): s.value for s in results.scores if s.metric == "accuracy"
    }
    assert accuracy["adapter", 1, "swh_Latn"] == pytest.approx(30 / N)
    assert accuracy["tfidf", None, "urd_Arab"] == pytest.approx(24 / N)
    assert ("tfidf-target", None, "urd_Arab") not in accuracy
    assert {(s.language, s.role, s.split) for s in results.scores} == {
        ("eng_Latn", "source", "dev"),
        ("swh_Latn", "target", "test"),
        ("urd_Arab", "target", "test"),
    }
    assert all(s.low <= s.value <= s.high and s.n == N for s in results.scores)
    # seed 1 is the median over targets: comparisons, confusions and errors are its own
    assert {c.seed for c in results.comparisons} == {1}
    assert [v.verdict for v in results.verdicts] == ["no better than TF-IDF", "transfers"]
    assert results.confusions[1].counts == [[15, 5], [5, 15]]
    assert results.warnings == ["eng_Latn: no test split", "swh_Latn: 2 words cut"]
    assert (results.base.revision, results.base.parameters) == ("c0ffee", 1000)
    assert [s.name for s in results.stages] == ["train/1", "train/2", "train/3", "evaluate"]
    assert results.languages[2].direction == "rtl"


def test_averages_name_what_they_are_over(finished):
    correct = {
        "1": {"eng_Latn": 40, "swh_Latn": 20, "urd_Arab": 40},
        "2": {"eng_Latn": 40, "swh_Latn": 40, "urd_Arab": 40},
        "3": everywhere(40),
        "tfidf": everywhere(20),
        "tfidf-target": {"swh_Latn": 40},
    }
    averages = {
        (a.system, a.over): a for a in collect(finished(correct)).averages if a.metric == "accuracy"
    }
    targets = averages["adapter", "targets"]
    assert targets.mean == pytest.approx((0.75 + 1 + 1) / 3)
    assert targets.sd == pytest.approx(0.1443, abs=1e-4)
    assert (targets.median, targets.seeds, targets.languages) == (1.0, 3, 2)
    assert averages["adapter", "source and targets"].languages == 3
    assert averages["tfidf", "source"].sd is None
    # it has one of two targets: no average stands beside those over both
    assert not [key for key in averages if key[0] == "tfidf-target"]


@pytest.mark.parametrize(
    ("statuses", "kept", "middle"),
    [(("ok", "collapsed", "ok"), 2, 1), (("collapsed", "nan", "collapsed"), None, 2)],
)
def test_a_seed_that_failed_is_in_no_average(finished, statuses, kept, middle):
    correct = {
        "1": everywhere(36),
        "2": everywhere(37),
        "3": everywhere(38),
        "tfidf": everywhere(20),
    }
    results = collect(finished(correct, statuses))
    adapter = [a for a in results.averages if a.system == "adapter"]
    assert {a.seeds for a in adapter} == ({kept} if kept else set())
    assert {c.seed for c in results.comparisons} == {middle}
    assert [s.status for s in results.seeds] == list(statuses)
    assert {s.seed for s in results.scores if s.system == "adapter"} == {1, 2, 3}, "but it is shown"


def test_the_surest_errors_of_every_language(finished):
    correct = {"1": everywhere(10), "2": everywhere(10), "3": everywhere(10)}
    results = collect(finished(correct))
    swahili = [m for m in results.mistakes if m.language == "swh_Latn"]
    assert len(swahili) == 20
    assert [m.id for m in swahili[:3]] == ["39", "38", "37"]
    assert (swahili[0].gold, swahili[0].predicted, swahili[0].text) == ("poor", "fine", "text 39")


@pytest.mark.parametrize(("notes_of_stages", "kwh"), [({}, None), ({"energy_kwh": 0.25}, 1.0)])
def test_energy_is_a_sum_or_nothing(finished, notes_of_stages, kwh):
    results = collect(finished({str(n): everywhere(30) for n in (1, 2, 3)}, **notes_of_stages))
    assert results.resources.energy_kwh == kwh


def test_metrics_are_the_recipes_or_the_tasks_own():
    assert scoring.metric_names(recipe(), LABELS) == ("macro_f1", "accuracy")
    asked = recipe(evaluate={"metrics": ["accuracy"]})
    assert scoring.metric_names(asked, LABELS) == ("accuracy",)


def test_a_library_that_is_not_made_for_this_machine(monkeypatch):
    def version(name):
        if name == "bitsandbytes":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    assert scoring.versions()["bitsandbytes"] == "not installed"
    assert scoring.versions()["torch"] == "1.0"


def test_a_seeds_record_is_read_from_its_manifest(finished):
    folder = finished({})
    record = scoring.seed_record(folder.manifest("train/2"))
    assert record == SeedRecord(
        seed=2, status="ok", retried=False, learning_rate=1e-3, best_step=5, steps=9, dev=0.8
    )
