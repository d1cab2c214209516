"""A run killed with SIGKILL at any moment, and started again, ends as one left alone."""

from __future__ import annotations

import json
import multiprocessing
import signal

import killing
import pytest
import tiny_study

# A server that has imported what training needs forks a process in no time. Training itself must
# not have run in it: autograd does not survive a fork.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "lowres.train",
        "killing",
        "peft",
        "bitsandbytes",
        "transformers.models.bert.modeling_bert",
        "lowres.tasks.tagging",
        "lowres.metrics.span_f1",
    ]
)

# 44 windows in batches of 16: an epoch is 3 steps, three epochs 9
MOMENTS = [
    "step:0",  # before any checkpoint
    "step:2",  # within an epoch, after a checkpoint
    "evaluate:3",  # an epoch's last step is done, its evaluation is not
    "save:2",  # a checkpoint half written
    "save:6",  # the same at an epoch's end
    "step:3",  # right after an epoch's checkpoint
    "step:4",  # one step after it
    "save:9",
    "rotate",  # an old checkpoint half removed
    "tidy",  # all steps are done, the best is not loaded
    "adapter",
]


def recipe(folder, **sections):
    train = {"batch": 16, **sections.pop("train", {})}
    return tiny_study.recipe(folder, "tagging", train=train, **sections)


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    """With dropout: a random state that is off by one draw shows."""
    folder = tmp_path_factory.mktemp("base") / "bert"
    return tiny_study.base("bert", tiny_tokenizer, folder, dropout=0.1)


def lived(study, folder, moment="", save_every_s=0.0):
    """Exit status of a process that trains."""
    known = (study.model_dump_json(), str(folder), moment, save_every_s)
    process = CONTEXT.Process(target=killing.live, args=known)
    process.start()
    process.join(120)
    return process.exitcode


def ended(folder):
    """What a finished run left: the adapter's bytes, and its figures but for the losses' means,
    which start anew after a resume."""
    outcome = json.loads((folder / "outcome.json").read_text())
    outcome["curves"] = [row for row in outcome["curves"] if row[2].startswith("dev ")]
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes(), outcome


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    """`undisturbed(study)`: how it ends when left alone, without checkpoints by time."""
    found = {}

    def end(study):
        key = study.model_dump_json()
        if key not in found:
            folder = tmp_path_factory.mktemp("undisturbed")
            assert lived(study, folder, save_every_s=60.0) == 0
            found[key] = ended(folder)
        return found[key]

    return end


def check(study, folder, moments, undisturbed):
    for moment in moments:
        assert lived(study, folder, moment) == -signal.SIGKILL, moment
    assert lived(study, folder) == 0
    weights, outcome = ended(folder)
    expected_weights, expected = undisturbed(study)
    assert outcome == expected
    assert weights == expected_weights
    assert sorted(p.name for p in folder.iterdir()) == ["adapter", "outcome.json"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again_it_ends_the_same(base, tmp_path, undisturbed, moment):
    check(recipe(base), tmp_path, [moment], undisturbed)


@pytest.mark.parametrize(
    ("quantization", "moments"),
    [("8bit", ["step:2", "save:6"]), ("8bit", ["evaluate:3"]), ("4bit", ["step:4"])],
)
def test_over_a_quantised_base_too(base, tmp_path, undisturbed, quantization, moments):
    study = recipe(base, base={"quantization": quantization})
    check(study, tmp_path, moments, undisturbed)


def test_a_mean_of_epochs_is_the_same_mean(base, tmp_path, undisturbed):
    study = recipe(base, train={"checkpoint": "average"})
    *_, outcome = undisturbed(study)
    assert outcome["best_step"] is None
    check(study, tmp_path, ["step:4", "save:6", "evaluate:9", "tidy", "adapter"], undisturbed)


@pytest.mark.parametrize(
    ("strategy", "moments"),
    [
        # the second of two layers joins at step 5
        ({"name": "gradual", "share": 1}, ["step:4", "save:6", "tidy"]),
        ("full", ["step:2", "evaluate:6"]),
        ("probe", ["step:4", "adapter"]),
    ],
)
def test_with_every_strategy(base, tmp_path, undisturbed, strategy, moments):
    rank = {"rank": 4} if "gradual" in str(strategy) else {"rank": 16}
    study = recipe(base, train={"strategy": strategy, "learning_rate": 2e-3}, lora=rank)
    check(study, tmp_path, moments, undisturbed)


def test_the_last_step_is_the_same_one(base, tmp_path, undisturbed):
    """No epoch's end is a checkpoint there: what was saved by time is gone on from."""
    study = recipe(base, train={"checkpoint": "last"})
    *_, outcome = undisturbed(study)
    assert (outcome["best_step"], outcome["status"]) == (9, "ok")
    check(study, tmp_path, ["step:0", "step:3", "save:4", "step:8", "adapter"], undisturbed)


def test_mixed_sources_come_in_the_same_order(base, tmp_path, undisturbed):
    languages = {"source": ["eng_Latn", "hin_Deva"], "source_temperature": 5}
    check(recipe(base, languages=languages), tmp_path, ["step:4", "save:6"], undisturbed)


def test_killed_again_and_again(base, tmp_path, undisturbed):
    moments = ["step:1", "save:2", "evaluate:3", "step:5", "save:6", "step:8", "adapter"]
    check(recipe(base), tmp_path, moments, undisturbed)


def test_with_accumulated_micro_batches(base, tmp_path, undisturbed):
    study = recipe(base, train={"micro_batch": 4})
    check(study, tmp_path, ["step:4"], undisturbed)


@pytest.mark.parametrize("moments", [["evaluate:9", "tidy"], ["save:6"]])
def test_a_run_that_had_stopped_early_does_not_go_on(base, tmp_path, undisturbed, moments):
    # at these rates no score is ever better than the first
    rates = {"learning_rate": 1e-9, "head_learning_rate": 1e-9}
    study = recipe(base, train={"epochs": 9, "patience": 2, **rates})
    *_, outcome = undisturbed(study)
    assert outcome["steps"] == 9
    check(study, tmp_path, moments, undisturbed)


def test_a_run_that_had_diverged_is_not_taken_for_a_good_one(base, tmp_path, undisturbed):
    rates = {"learning_rate": 1e30, "head_learning_rate": 1e30}
    study = recipe(base, train=rates)
    *_, outcome = undisturbed(study)
    assert (outcome["status"], outcome["retried"]) == ("nan", True)
    check(study, tmp_path, ["adapter"], undisturbed)
