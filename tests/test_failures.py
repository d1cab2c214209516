"""A training beside the recipe's own that collapsed: named, shown, and in no mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_scoring import LOCATED, answers, everywhere, labelled, notes, recipe

from lowres import failures, pipeline, predictions, scoring
from lowres.artifacts import RunFolder
from lowres.hardware import Hardware
from lowres.results import FailureRecord, Results
from lowres.variants import Variant

TARGETS = ("swh_Latn", "urd_Arab")


def few_shot(language: str, draw: int) -> Variant:
    place = f"shots/10/{language}/draw-{draw}/"
    return Variant("10-shot", LOCATED, place, 10, draw, (language,), False)


def study(folder: Path, bad: set[tuple[str, int]], zero: tuple[str, ...] = ("ok", "ok")) -> Results:
    """Two seeds, three draws of ten labels of each target, and a control; zero-shot has 20 of 40
    right and ten labels bring 10 more. `bad`: stages by folder and seed that collapsed, and have
    none right."""
    data, run = labelled(), RunFolder(folder)
    controls = [Variant("base-as-is", LOCATED, "controls/base-as-is/")]
    controls += [few_shot(code, draw) for code in TARGETS for draw in (1, 2, 3)]
    for seed, status in enumerate(zero, start=1):
        with run.stage(f"train/{seed}", "a") as stage:
            stage.notes.update(notes(seed, status))
        for variant in controls:
            lost = (variant.folder, seed) in bad
            with run.stage(variant.training(seed), "a") as stage:
                stage.notes.update(notes(seed, "collapsed" if lost else "ok"))
                if variant.targets:
                    stage.notes["target_examples"] = {code: ["1"] for code in variant.targets}
    with run.stage("evaluate", "a") as stage:
        for seed in (1, 2):
            said = [(str(seed), code, 20) for code in everywhere(0)]
            for v in controls:
                right = 0 if (v.folder, seed) in bad else 30 if v.targets else 10
                said += [(v.answers(seed), code, right) for code in v.targets or everywhere(0)]
            for system, language, right in said:
                file = predictions.path_of(stage.path / "predictions", system, language)
                predictions.write(file, data.tests[language], "label", answers(right))
        stage.notes.update(systems=[], tokenizer=[])
    asked = recipe(
        seeds=[1, 2],
        evaluate={"bootstrap": 100, "metrics": ["accuracy"]},
        languages={"source": "eng_Latn", "targets": list(TARGETS), "shots": [0, 10], "draws": 3},
    )
    few = dict.fromkeys(TARGETS, data.train)
    data = replace(data, target_train=few)
    machine = Hardware("cpu", "fp32")
    own = Variant("adapter", LOCATED, "")
    return scoring.collect(asked, data, LOCATED, machine, run, 9.0, 5.0, (own, *controls))


def curve(results: Results) -> dict[tuple[str, str], tuple[float, int]]:
    return {(p.language, p.shots): (p.mean, p.n) for p in results.learning}


def test_without_a_collapse_all_of_it_counts(tmp_path: Path) -> None:
    results = study(tmp_path, set())
    assert results.failures == []
    assert curve(results) == {
        (code, shots): (pytest.approx(mean), n)
        for code in (*TARGETS, "targets")
        for shots, mean, n in (("0", 0.5, 2), ("10", 0.75, 6))
    }
    assert pipeline.untrusted(results) == []


def test_a_draw_that_collapsed_is_named_and_in_no_curve_or_average(tmp_path: Path) -> None:
    results = study(tmp_path, {("shots/10/swh_Latn/draw-2/", 1)})
    assert results.failures == [
        FailureRecord(system="10-shot", seed=1, draw=2, languages=["swh_Latn"], status="collapsed")
    ]
    assert curve(results)["swh_Latn", "10"] == (pytest.approx(0.75), 5)
    assert curve(results)["urd_Arab", "10"] == (pytest.approx(0.75), 6)
    # a mean over the targets is of draws that have all of them
    assert curve(results)["targets", "10"] == (pytest.approx(0.75), 5)
    (average,) = (a for a in results.averages if a.system == "10-shot")
    assert (average.mean, average.seeds) == (pytest.approx(0.75), 5)
    # its score is shown as it is
    assert [s.value for s in results.scores if (s.system, s.value) == ("10-shot", 0)] == [0.0]
    (warning,) = (w for w in results.warnings if "10-shot" in w)
    assert warning.startswith("10-shot of swh_Latn, draw 2, seed 1: collapsed even at half")
    assert pipeline.untrusted(results) == [warning]


def test_several_are_told_one_by_one(tmp_path: Path) -> None:
    bad = {(f"shots/10/{code}/draw-{draw}/", 2) for code in TARGETS for draw in (2, 3)}
    said = pipeline.untrusted(study(tmp_path, bad))
    assert [line.split(":")[0] for line in said] == [
        f"10-shot of {code}, draw {draw}, seed 2" for code in TARGETS for draw in (2, 3)
    ]


def test_a_seed_that_failed_zero_shot_is_in_no_column(tmp_path: Path) -> None:
    """Or the columns were of other seeds, and their difference not what labels bring."""
    results = study(tmp_path, set(), ("ok", "collapsed"))
    assert {p.shots: p.n for p in results.learning if p.language == "targets"} == {"0": 1, "10": 3}


def compared(results: Results, system: str) -> set[str]:
    return {c.language for c in results.comparisons if c.b == system}


def test_only_what_is_compared_spoils_a_comparison(tmp_path: Path) -> None:
    """The first draw of the seed that comparisons use (seed 1) stands for few-shot."""
    first = study(tmp_path / "1", {("shots/10/swh_Latn/draw-1/", 1)})
    assert compared(first, "10-shot") == {"urd_Arab"}
    other = study(tmp_path / "2", {("shots/10/swh_Latn/draw-2/", 1)})
    assert compared(other, "10-shot") == {*TARGETS, "targets"}
    assert compared(other, "base-as-is") == {"eng_Latn", *TARGETS, "targets"}


def test_a_control_that_lost_a_seed_is_compared_with_nothing(tmp_path: Path) -> None:
    results = study(tmp_path, {("controls/base-as-is/", 2)})
    assert compared(results, "base-as-is") == set()
    (average,) = (a for a in results.averages if (a.system, a.over) == ("base-as-is", "targets"))
    assert (average.mean, average.seeds) == (pytest.approx(0.25), 1)
    (line,) = pipeline.untrusted(results)
    assert line.startswith("base-as-is, seed 2: collapsed")


def test_of_many_targets_that_train_together_some_are_named() -> None:
    codes = [f"t{letter}k_Latn" for letter in "abcde"]
    together = FailureRecord(system="5-shot", seed=1, draw=1, languages=codes, status="nan")
    assert failures.said(together).startswith(
        "5-shot of tak_Latn, tbk_Latn, tck_Latn and 2 more, draw 1, seed 1: nan even"
    )
