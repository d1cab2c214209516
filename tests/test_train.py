from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import warnings
from dataclasses import replace
from statistics import fmean

import pytest
import tiny_study
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tiny_study import CPU

from lowres import source_dev
from lowres import train as training
from lowres.errors import DeviceError, Interrupted, RunError
from lowres.shared import Shared
from lowres.stats import value_of
from lowres.trainer import SourceTrainer


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    return tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base") / "bert")


def study(folder, task="classification", **sections):
    return tiny_study.recipe(folder, task, **sections)


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def dev_curve(outcome):
    return [value for *_, name, value in outcome.curves if name.startswith("dev ")]


@pytest.fixture
def dev_scores(monkeypatch):
    """`dev_scores(0.5, 0.7, …)`: what source dev says after each epoch."""

    def give(*scores):
        given = iter(scores)
        monkeypatch.setattr(training.SourceDev, "score", lambda *_: next(given))
        monkeypatch.setattr(training.SourceDev, "collapsed", lambda *_: False)

    return give


@pytest.fixture
def written(monkeypatch):
    """Weights of every checkpoint of a training, by step."""
    found = {}
    save = SourceTrainer._save_checkpoint

    def watched(self, *known):
        save(self, *known)
        folder = f"{self.args.output_dir}/checkpoint-{self.state.global_step}"
        found[self.state.global_step] = load_file(f"{folder}/adapter_model.safetensors")

    monkeypatch.setattr(SourceTrainer, "_save_checkpoint", watched)
    return found


# what comes out


@pytest.mark.parametrize(
    ("task", "quantization"),
    [
        ("classification", "none"),
        ("classification", "8bit"),
        ("tagging", "8bit"),
        ("tagging", "4bit"),
        ("pairs", "8bit"),
    ],
)
def test_a_seed_learns_and_leaves_an_adapter_alone(base, tmp_path, task, quantization):
    recipe = study(base, task, base={"quantization": quantization})
    outcome = tiny_study.train(recipe, tmp_path)
    assert (outcome.status, outcome.retried, outcome.seed) == ("ok", False, 1)
    assert outcome.dev > 0.9
    assert outcome.dev == max(dev_curve(outcome))
    assert outcome.steps == 3 * -(-44 // 8)
    assert outcome.best_step in (6, 12, 18)
    assert 0 < outcome.trainable_parameters < outcome.parameters
    names = {name for *_, name, _ in outcome.curves}
    assert {"loss", "learning_rate"} < names
    assert len(names) == 3
    assert all(step <= outcome.steps and epoch <= 3 for step, epoch, *_ in outcome.curves)
    losses = [value for *_, name, value in outcome.curves if name == "loss"]
    assert 0 < losses[-1] < losses[0]
    # the next stage finds no half-made things
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    # and the adapter from the disk scores as the network in memory did; not to the bit, since in
    # 8 bits a loaded machine has given other answers in one run of many (cause not known)
    data = tiny_study.data(task)
    answers = [each.answer for each in tiny_study.answers(recipe, tmp_path / "adapter", data.dev)]
    metric = recipe.task.metrics(data.labels)[0]
    gold = list(data.dev[recipe.task.gold_field])
    assert value_of(metric, gold, answers, data.labels) == pytest.approx(outcome.dev, abs=0.05)


def test_two_runs_of_a_seed_are_the_same_to_the_bit(base, tmp_path):
    recipe = study(base)
    one, other = (tiny_study.train(recipe, tmp_path / name) for name in "ab")
    assert one == other
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_accumulated_micro_batches_come_to_the_same(base, tmp_path):
    whole, parts = (
        study(base, "tagging", train={"epochs": 1, "micro_batch": micro}, lora={"dropout": 0})
        for micro in (8, 2)
    )
    tiny_study.train(whole, tmp_path / "a")
    tiny_study.train(parts, tmp_path / "b")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], atol=2e-4, rtol=0)


def test_steps_override_epochs_and_end_within_one(base, tmp_path):
    outcome = tiny_study.train(study(base, train={"steps": 4}), tmp_path)
    assert (outcome.steps, outcome.best_step) == (4, 4)
    assert len(dev_curve(outcome)) == 1


def test_the_kept_checkpoint_is_the_best_on_source_dev(base, tmp_path, dev_scores, written):
    dev_scores(0.2, 0.6, 0.5)
    outcome = tiny_study.train(study(base), tmp_path)
    assert (outcome.dev, outcome.best_step, outcome.steps) == (0.6, 12, 18)
    assert sorted(written) == [6, 12, 18]
    saved = weights(tmp_path)
    assert all(torch.equal(saved[name], written[12][name]) for name in saved)
    assert not all(torch.equal(saved[name], written[18][name]) for name in saved)


def test_the_mean_of_the_epochs_is_kept(base, tmp_path, written):
    recipe = study(base, train={"checkpoint": "average"})
    outcome = tiny_study.train(recipe, tmp_path)
    assert (outcome.best_step, outcome.steps, sorted(written)) == (None, 18, [6, 12, 18])
    kept = weights(tmp_path)
    assert kept.keys() == written[18].keys()
    for name, value in kept.items():
        torch.testing.assert_close(value, (written[12][name] + written[18][name]) / 2)
    assert any(not torch.equal(value, written[18][name]) for name, value in kept.items())
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    # the score told is that of the mean
    data = tiny_study.data("classification")
    answers = [each.answer for each in tiny_study.answers(recipe, tmp_path / "adapter", data.dev)]
    dev = source_dev.SourceDev(recipe, data, None, CPU, Shared())
    assert dev.metric == "macro_f1"
    gold = list(data.dev[recipe.task.gold_field])
    assert outcome.dev == pytest.approx(value_of(dev.metric, gold, answers, data.labels))


def test_training_stops_after_patience_epochs_without_a_better_score(base, tmp_path, dev_scores):
    dev_scores(0.5, 0.7, 0.7, 0.6, 0.9)
    outcome = tiny_study.train(study(base, train={"epochs": 9, "patience": 2}), tmp_path)
    # of equal scores the last is kept; better is none of them
    assert (outcome.steps, outcome.best_step, outcome.dev) == (24, 18, 0.7)
    assert dev_curve(outcome) == [0.5, 0.7, 0.7, 0.6]


# collapse and NaN


def one_label_trap(data):
    """Training data in which nearly every sentence is about one topic."""
    labels = [*["trade"] * (len(data.train) - 2), "health", "nature"]
    return replace(data, train=data.train.remove_columns("label").add_column("label", labels))


def test_a_collapsed_seed_is_tried_once_more_at_half_the_rate(base, tmp_path, monkeypatch):
    data = one_label_trap(tiny_study.data())
    monkeypatch.setattr(tiny_study, "data", lambda task: data)
    rates = []
    fit = training._fit

    def watched(job, learner, attempt, newest):
        rates.append(attempt.rate_factor)
        assert newest is None, "the second attempt must not continue the first"
        return fit(job, learner, attempt, newest)

    monkeypatch.setattr(training, "_fit", watched)
    outcome = tiny_study.train(study(base, train={"epochs": 1}), tmp_path)
    assert (outcome.status, outcome.retried) == ("collapsed", True)
    assert outcome.learning_rate == 0.5e-2
    assert rates == [1.0, 0.5]
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


def test_a_second_attempt_that_learns_is_trusted(base, tmp_path, monkeypatch):
    verdicts = iter([True, False])
    monkeypatch.setattr(training.SourceDev, "collapsed", lambda *_: next(verdicts))
    outcome = tiny_study.train(study(base, train={"epochs": 1}), tmp_path)
    assert (outcome.status, outcome.retried, outcome.learning_rate) == ("ok", True, 0.5e-2)


def test_a_run_that_diverges_is_found_out_and_stopped(base, tmp_path):
    rates = {"learning_rate": 1e30, "head_learning_rate": 1e30, "epochs": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = tiny_study.train(study(base, "tagging", train=rates), tmp_path)
    assert (outcome.status, outcome.retried) == ("nan", True)
    assert outcome.learning_rate == 0.5e30
    assert outcome.steps < 30, "it went on after the loss was no number"
    # results.json cannot hold a NaN
    json.dumps([outcome.curves, outcome.dev], allow_nan=False)


# options


@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_activation_checkpointing_changes_memory_alone(base, tmp_path, quantization):
    sections = {"base": {"quantization": quantization}, "lora": {"dropout": 0}}
    plain = study(base, train={"epochs": 1}, **sections)
    frugal = study(base, train={"epochs": 1, "gradient_checkpointing": True}, **sections)
    one = tiny_study.train(plain, tmp_path / "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = tiny_study.train(frugal, tmp_path / "b")
    assert one.curves == other.curves


@pytest.mark.parametrize("lora", [{"rslora": True}, {"dora": True}])
def test_variants_of_lora_train_over_8_bit(base, tmp_path, lora):
    recipe = study(base, "tagging", base={"quantization": "8bit"}, lora=lora)
    assert tiny_study.train(recipe, tmp_path).status == "ok"


def test_label_smoothing_raises_the_loss_that_is_reached(base, tmp_path):
    def reached(smoothing):
        recipe = study(base, "tagging", train={"label_smoothing": smoothing, "epochs": 2})
        outcome = tiny_study.train(recipe, tmp_path / str(smoothing))
        # over an epoch: the loss of one step of 8 sentences is mostly chance
        return fmean([value for *_, name, value in outcome.curves if name == "loss"][-6:])

    assert reached(0.3) > reached(0.0) + 0.2


def test_event_files_go_into_the_run_folder(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = study(base, train={"report_to": "tensorboard"})
    tiny_study.train(recipe, tmp_path / "run")
    files = list((tmp_path / "run" / "tensorboard").iterdir())
    assert [f.name.startswith("events.out") for f in files] == [True]
    assert b"eval/score" in files[0].read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["adapter", "tensorboard"]


def test_a_logger_that_is_missing_is_named(base, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"train\.report_to: wandb is not installed here; pip"):
        tiny_study.train(study(base, train={"report_to": "wandb"}), tmp_path)


def test_ctrl_c_in_the_very_last_step_is_heard_too(base, tmp_path, monkeypatch):
    recipe = study(base, train={"steps": 4})
    undisturbed = tiny_study.train(recipe, tmp_path / "a")
    with monkeypatch.context() as patched:
        patched.setattr(
            SourceTrainer, "_save_checkpoint", interrupting(SourceTrainer._save_checkpoint)
        )
        with pytest.raises(Interrupted, match="after step 4, the last one"):
            tiny_study.train(recipe, tmp_path / "b")
    assert tiny_study.train(recipe, tmp_path / "b") == undisturbed


def interrupting(save):
    def saved(self, *known):
        os.kill(os.getpid(), signal.SIGINT)
        save(self, *known)

    return saved


def test_nothing_is_printed_to_standard_output(base, tmp_path, capfd):
    tiny_study.train(study(base, train={"epochs": 1}), tmp_path)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, r"the disk is full .*give the same command again"),
        (errno.EACCES, r"cannot be written: Permission denied"),
    ],
)
def test_a_disk_that_takes_no_more_is_said_in_words(base, tmp_path, monkeypatch, code, says):
    def full(*known):
        raise OSError(code, "Permission denied")

    monkeypatch.setattr(SourceTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(RunError, match=says):
        tiny_study.train(study(base, train={"epochs": 1}), tmp_path)


def test_source_dev_is_scored_as_a_whole(base):
    recipe, data = study(base, "tagging"), tiny_study.data("tagging")
    empty = Dataset.from_list(tiny_study.examples("tagging", 4, 1))
    dev = source_dev.SourceDev(recipe, replace(data, dev=empty), None, CPU, Shared())
    assert dev.metric == "span_f1"
    named = study(base, "tagging", evaluate={"metrics": ["accuracy"]})
    assert source_dev.chosen_metric(named, data.labels) == "accuracy"


# how often source dev is asked


def asked(monkeypatch):
    """How often a model was asked, as a list that grows."""
    calls = []
    predict = source_dev.inference.predict
    monkeypatch.setattr(
        source_dev.inference, "predict", lambda *a, **k: calls.append(1) or predict(*a, **k)
    )
    return calls


def test_source_dev_is_asked_once_an_epoch_and_never_for_collapse_alone(
    base, tmp_path, monkeypatch
):
    calls = asked(monkeypatch)
    outcome = tiny_study.train(study(base, train={"epochs": 3}), tmp_path)
    assert not outcome.retried
    assert len(calls) == len(dev_curve(outcome)) == 3


def test_a_score_that_two_networks_share_does_not_tell_which_collapsed(base, monkeypatch):
    data = tiny_study.data("classification")
    dev = source_dev.SourceDev(study(base), data, None, CPU, Shared())
    gold = list(data.dev["label"])
    flat, spread = [gold[0]] * len(gold), [gold[0], *gold[:-1]]
    said = iter([flat, spread, flat, flat])
    monkeypatch.setattr(dev, "_answers", lambda _: next(said))
    monkeypatch.setattr(source_dev, "value_of", lambda *_: 0.5)
    assert dev.score(None) == 0.5
    assert dev.collapsed(None, 0.5)  # known: nobody is asked
    assert dev.score(None) == 0.5
    assert dev.collapsed(None, 0.5)  # asked, and says so
    assert dev.collapsed(None, 0.4)  # of a training that was resumed
    assert not list(said)
