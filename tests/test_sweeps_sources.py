"""What a study draws, what it aims at, and how it goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import tiny_sweep
from fake_stages import Fakes

from lowres.errors import Interrupted, LowresError, RecipeError
from lowres.progress import Silent
from lowres.sweeps import loading, running, sources
from lowres.sweeps.attempts import Here
from lowres.train import Outcome

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="needs Optuna (extra ray)"
)
SPACE = {
    "lora.rank": [2, 4, 8],
    "train.learning_rate": {"low": "1e-4", "high": 2e-3, "log": True},
    "lora.alpha": {"low": 8, "high": 33, "step": 8},
}


class Opposed(Fakes):
    """Source dev is the better the larger the rank, the targets the worse."""

    def train(self, recipe, seed, *given, **known):
        self._reached(f"train {seed}")
        self.rank = recipe.lora.rank
        return Outcome(seed, "ok", False, 3e-4, 5, 50, self.rank / 10, 1000, 10, [])

    def adapter(self, recipe, seed, data, located, hardware, adapter, folder, progress, *known):
        self._answer(data, folder, str(seed), right=2 if recipe.lora.rank == 2 else 1)


@pytest.fixture
def fakes(monkeypatch):
    return Opposed(monkeypatch)


@pytest.fixture
def go(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(trials=6, space=SPACE, out="out", **keys):
        study = {"trials": trials, "seed": 3, "space": space, **keys}
        plan = loading.load(tiny_sweep.written(tmp_path, tiny_base, grid=None, study=study))
        here = Here(lambda cell: Path(out) / cell.name, Silent())
        return running.run(plan, Path(out), lambda most, cells: here, Silent())

    return run


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_choice_is_by_source_dev_whatever_the_targets_say(go, fakes, sampler):
    found = go(sampler=sampler, space={"lora.rank": [2, 4, 8], "lora.alpha": [16, 32, 64]})
    best = max(found.cells, key=lambda row: row.mean)
    assert best.settings["lora.rank"] == 2
    assert found.chosen is not None
    assert found.chosen.settings["lora.rank"] == max(r.settings["lora.rank"] for r in found.cells)
    assert found.chosen.settings["lora.rank"] > 2
    assert found.chosen.dev == found.chosen.settings["lora.rank"] / 10
    assert found.chosen.trials == len(found.cells) <= 6


def test_what_is_drawn_lies_in_the_space(go, fakes):
    for row in go(trials=8).cells:
        assert row.settings["lora.rank"] in (2, 4, 8)
        assert 1e-4 <= row.settings["train.learning_rate"] <= 2e-3
        assert row.settings["lora.alpha"] in (8, 16, 24, 32)
        assert isinstance(row.settings["lora.alpha"], int)


def test_lists_are_choices_too(go, fakes):
    found = go(trials=4, space={"lora.targets": [["query"], ["query", "value"], "auto"]})
    assert all(row.state == "done" for row in found.cells)
    assert len(found.cells) <= 3, "a setting that is drawn again is no second run"


def test_a_study_that_was_stopped_draws_what_it_would_have_drawn(go, fakes, tmp_path):
    whole = go(trials=6, out="whole")
    go(trials=3, out="parts")
    fakes.at["train 1"] = Interrupted("interrupted at step 3 of 9")
    with pytest.raises(Interrupted):
        go(trials=6, out="parts")
    fakes.calls.clear()
    resumed = go(trials=6, out="parts")
    assert len(fakes.calls) == 2 * 3, "three trials were left, of a training and baselines each"
    assert [row.settings for row in resumed.cells] == [row.settings for row in whole.cells]
    assert resumed.chosen == whole.chosen
    fakes.calls.clear()
    assert go(trials=6, out="parts").chosen == whole.chosen
    assert fakes.calls == []


def test_another_space_is_another_study(go, fakes):
    go(trials=2)
    found = go(trials=2, space={"lora.rank": [16]})
    assert [row.settings for row in found.cells] == [{"lora.rank": 16}]


def test_a_trial_that_failed_is_drawn_again_by_the_next_call(go, fakes):
    fakes.at["train 1"] = RuntimeError("no luck")
    fakes.at["baselines"] = RuntimeError("nor now")
    failed = go(trials=2)
    assert [row.state for row in failed.cells] == ["failed", "done"]
    again = go(trials=2)
    assert [row.state for row in again.cells] == ["done", "done"]
    assert {str(row.settings) for row in again.cells} == {str(row.settings) for row in failed.cells}


def test_without_optuna(go, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LowresError) as caught:
        go()
    assert 'pip install "lowres[ray]"' in str(caught.value)


def test_settings_that_do_not_fit_together_are_no_trial(go, fakes):
    space = {"train.batch": [6, 8], "train.micro_batch": [3]}
    with pytest.raises(RecipeError, match="does not divide"):
        go(space=space)
    found = go(
        trials=6, space={"train.batch": [12, 8], "train.micro_batch": [4, 6]}, sampler="random"
    )
    pairs = {tuple(row.settings.values()) for row in found.cells}
    assert (8, 6) not in pairs
    assert pairs <= {(12, 4), (12, 6), (8, 4)}


def test_a_grid_does_not_choose():
    grid = sources.Grid([])
    assert grid.take() is None
    assert grid.chosen() is None
