from __future__ import annotations

import json
import random

import pytest
from results_factory import LABELS, make_results
from typer.testing import CliRunner

from lowres import side_by_side
from lowres.cli import app
from lowres.errors import RunError
from lowres.results import Stage


def run_of(
    folder, right=0.6, languages=("eng_Latn", "hin_Deva", "tzm_Tfng"), ids=40, shift=0, **changes
):
    """A finished run whose answers are right so often; seed 2 is the median of those trusted."""
    results = make_results(**changes)
    folder.mkdir()
    text = results.model_dump_json(by_alias=True)
    (folder / "results.json").write_text(text, encoding="utf-8")
    for seed in (s.seed for s in results.seeds):
        for language in languages:
            draw = random.Random(f"{language} {right}")
            rows = []
            for number in range(ids):
                gold = LABELS[(number + shift) % len(LABELS)]
                wrong = LABELS[(number + 1) % len(LABELS)]
                said = gold if draw.random() < right else wrong
                rows.append({"id": str(number), "gold": gold, "predicted": said, "probability": 1})
            file = folder / "predictions" / str(seed) / f"{language}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_run_beside_a_better_one(tmp_path):
    found = side_by_side.compare([run_of(tmp_path / "a", 0.3), run_of(tmp_path / "b", 0.9)])
    assert found.names == ("a", "b"), "both recipes have one name, so the folders tell them apart"
    assert [line.language for line in found.lines] == [
        "eng_Latn", "hin_Deva", "tzm_Tfng", "targets",
    ]  # fmt: skip
    mean = found.lines[-1]
    assert mean.n == 80
    first, second = mean.cells
    assert first.delta is None
    assert second.delta_low > 0.3
    assert second.delta_low < second.delta < second.delta_high
    assert second.p < 0.01
    assert "urd_Arab" in found.left_out


def test_a_run_beside_itself(tmp_path):
    run = run_of(tmp_path / "a")
    for line in side_by_side.compare([run, run, run]).lines:
        assert [cell.delta for cell in line.cells] == [None, 0.0, 0.0]
        assert all(cell.p == 1 for cell in line.cells[1:])


def trained(recipe, **keys):
    return {**recipe, "train": {**recipe.get("train", {}), **keys}}


def shown(runs):
    done = CliRunner().invoke(app, ["compare", *map(str, runs)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return [" ".join(row.split()) for row in done.output.splitlines()]


def test_what_each_one_trained_stands_in_the_table(tmp_path):
    recipe = make_results().recipe
    before = {name: section for name, section in recipe.items() if name != "train"}
    recipes = {
        "lora": before,
        "full, freeze embeddings": trained(
            recipe, strategy={"name": "full"}, freeze={"embeddings": True, "layers": 0}
        ),
        "lora, decay 0.9, freeze 4": trained(
            recipe,
            strategy={"name": "lora"},
            layer_decay=0.9,
            freeze={"embeddings": False, "layers": 4},
        ),
        "gradual": trained(recipe, strategy={"name": "gradual"}, layer_decay=1.0),
    }
    runs = [run_of(tmp_path / str(n), recipe=r) for n, r in enumerate(recipes.values())]
    assert side_by_side.compare(runs).strategies == tuple(recipes)
    rows = shown(runs)
    at = rows.index("strategy " + " ".join(recipes))
    assert rows[at + 1].startswith("seconds to train")


def test_seconds_and_memory_are_those_of_a_training(tmp_path):
    """Not of baselines, controls and few-shot trainings, which other strategies do not have."""

    def stages(gpu=None):
        rows = [("train/1", 60, 900), ("train/2", 80, 1000), ("evaluate", 500, 4000)]
        rows += [("controls/base-as-is/train/1", 700, 5000), ("shots/10: 9 trainings", 900, 6000)]
        return [Stage(name=n, seconds=s, peak_mb=mb, gpu_mb=gpu) for n, s, mb in rows]

    plain = [run_of(tmp_path / "a", stages=stages()), run_of(tmp_path / "b", 0.9, stages=[])]
    found = side_by_side.compare(plain)
    assert (found.seconds, found.peak_mb) == ((70, None), (950, None))
    rows = shown(plain)
    at = rows.index("seconds to train 70 –")
    assert rows[at + 1] == "peak memory, MB 950 –"
    assert rows[at + 2].startswith("trainable parameters"), "no row for a card that is not there"
    card = run_of(tmp_path / "c", stages=stages(gpu=2345.6))
    assert side_by_side.compare([plain[0], card]).gpu_mb == (None, 2345.6)
    assert "GPU memory, MB – 2,346" in shown([plain[0], card])


def test_what_cannot_be_compared(tmp_path):
    run = run_of(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    other = {
        "two runs or more": [run],
        r"empty: no finished run \(results.json": [run, tmp_path / "empty"],
        r"no language in common \(.*a: eng_Latn.*; .*b: eng_Latn": [
            run,
            run_of(tmp_path / "b", languages=("urd_Arab",)),
        ],
        # the same numbers of lines, other labels: another file
        "other test examples of eng_Latn": [run, run_of(tmp_path / "c", shift=1)],
        "has other labels": [run, run_of(tmp_path / "d", labels=["a", "b"])],
        "task tagging, .*a: task classification; only runs of one task": [
            run,
            run_of(tmp_path / "e", recipe={**make_results().recipe, "task": {"name": "tagging"}}),
        ],
    }
    for says, paths in other.items():
        with pytest.raises(RunError, match=says) as caught:
            side_by_side.compare(paths)
        assert "\n" not in str(caught.value)


def test_only_examples_that_all_have_are_compared(tmp_path):
    """Such as after `unseen_labels: drop` in one of them; scores are of those examples too."""
    whole, more = run_of(tmp_path / "a", 0.9), run_of(tmp_path / "b", 0.9, ids=60)
    found = side_by_side.compare([more, whole, whole])
    assert [line.n for line in found.lines] == [40, 40, 40, 80]
    assert len(found.notes) == 3
    assert found.notes[0].startswith("eng_Latn: 40 test examples are in all runs (they have 60, ")
    # the first 40 answers are the same, whatever the rest were
    for line in found.lines:
        assert line.cells[1].delta == line.cells[2].delta == 0
    assert found.lines[0].cells[0].value != make_results().scores[0].value
    rows = (more / "predictions" / "2" / "eng_Latn.jsonl").read_text().splitlines()[:40]
    right = [row["gold"] == row["predicted"] for row in map(json.loads, rows)]
    assert found.lines[0].cells[0].value == pytest.approx(sum(right) / 40, abs=0.05)
    shown = CliRunner().invoke(app, ["compare", str(more), str(whole)])
    assert "are in all runs" in shown.output


def test_one_id_twice_is_not_guessed_at(tmp_path):
    run, other = run_of(tmp_path / "a"), run_of(tmp_path / "b", ids=41)
    for seed in "12":
        file = run / "predictions" / seed / "eng_Latn.jsonl"
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[0], *lines]) + "\n")
    with pytest.raises(RunError, match="two test examples of eng_Latn have one id"):
        side_by_side.compare([run, other])


def test_answers_that_are_damaged(tmp_path):
    run = run_of(tmp_path / "a")
    (run / "predictions" / "2" / "eng_Latn.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(RunError, match=r"eng_Latn\.jsonl: cannot be read as answers \(KeyError\)"):
        side_by_side.compare([run, run])


def rated(folder, right, ids=40):
    """As `lowres evaluate` leaves it: one adapter, no seeds."""
    scores = [
        score.model_copy(update={"seed": None, "role": "target"})
        for score in make_results().scores
        if score.system == "adapter" and score.seed == 1
    ]
    recipe = make_results().recipe
    recipe = recipe | {"name": folder.name, "languages": {"source": [], "targets": ["eng_Latn"]}}
    run_of(folder, right, ids=ids, recipe=recipe)
    results = make_results(recipe=recipe, scores=scores, curves=[], seeds=[])
    (folder / "results.json").write_text(results.model_dump_json(by_alias=True))
    (folder / "predictions" / "2").rename(folder / "predictions" / "adapter")
    return folder


def test_what_evaluate_made_is_compared_too(tmp_path):
    good, bad = rated(tmp_path / "good", 0.9), rated(tmp_path / "bad", 0.3)
    found = side_by_side.compare([good, bad])
    assert found.seeds == (None, None)
    assert found.lines[0].cells[1].delta_high < 0
    assert found.lines[-1].language == "targets"
    mixed = side_by_side.compare([run_of(tmp_path / "run", 0.9), good])
    assert mixed.seeds == (2, None)
    assert mixed.lines[0].cells[1].delta == 0
    fewer = side_by_side.compare([good, rated(tmp_path / "fewer", 0.9, ids=30)])
    assert [line.n for line in fewer.lines] == [30, 30, 30, 90]
    shown = CliRunner().invoke(app, ["compare", str(good), str(bad)])
    assert "good: one adapter" in " ".join(shown.output.split())


def test_command(tmp_path):
    paths = [str(run_of(tmp_path / "a", 0.3)), str(run_of(tmp_path / "b", 0.9))]
    shown = CliRunner().invoke(app, ["compare", *paths], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "mean of the targets" in shown.output
    plain = CliRunner().invoke(app, ["compare", "--json", *paths], catch_exceptions=False)
    assert json.loads(plain.stdout)["lines"][-1]["language"] == "targets"
