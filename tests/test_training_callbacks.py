from __future__ import annotations

import json
import math
import os
import shutil
import signal
import threading
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerControl, TrainerState

from lowres import training_callbacks
from lowres.errors import Interrupted
from lowres.sampling import LengthGrouped
from lowres.training_callbacks import (
    STATE,
    WHOLE,
    Bar,
    EpochOrder,
    Watch,
    curves,
    diverged,
    interruptible,
    newest_whole_checkpoint,
    remove_checkpoints,
    remove_halves,
)

ARGS = SimpleNamespace(process_index=0, world_size=1)


def checkpoint(folder, step, best=None, whole=True, ended=False):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    state = {
        "global_step": step,
        "best_model_checkpoint": None if best is None else str(best),
        "log_history": [{"loss": math.nan}],
        "stateful_callbacks": {"TrainerControl": {"args": {"should_training_stop": ended}}},
    }
    (path / STATE).write_text(json.dumps(state))
    if whole:
        (path / WHOLE).touch()
    return path


def at(step, epoch=0.0, **known):
    return TrainerState(global_step=step, epoch=epoch, **known)


def saves(watch, step):
    control = TrainerControl()
    watch.on_step_end(ARGS, at(step), control)
    return control.should_save


# checkpoints


def test_the_newest_whole_checkpoint_is_the_one_to_go_on_from(tmp_path):
    assert newest_whole_checkpoint(tmp_path / "none") is None
    checkpoint(tmp_path, 9)
    checkpoint(tmp_path, 10, ended=True)
    checkpoint(tmp_path, 11, whole=False)
    found = newest_whole_checkpoint(tmp_path)
    assert (found.path.name, found.step, found.ended) == ("checkpoint-10", 10, True)
    remove_halves(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_a_checkpoint_whose_best_one_is_gone_is_passed_over(tmp_path):
    checkpoint(tmp_path, 4)
    half = checkpoint(tmp_path, 6, whole=False)
    checkpoint(tmp_path, 8, best=half)
    assert newest_whole_checkpoint(tmp_path).step == 4


def test_a_run_folder_may_be_moved(tmp_path):
    best = checkpoint(tmp_path / "old", 4)
    checkpoint(tmp_path / "old", 8, best=best)
    (tmp_path / "old").rename(tmp_path / "new")
    found = newest_whole_checkpoint(tmp_path / "new")
    state = TrainerState.load_from_json(str(found.path / STATE))
    assert state.best_model_checkpoint == str(tmp_path / "new" / "checkpoint-4")
    assert math.isnan(state.log_history[0]["loss"])


def test_checkpoints_are_removed_but_those_to_keep(tmp_path):
    for step in (2, 4, 6, 10):
        checkpoint(tmp_path, step)
    remove_checkpoints(tmp_path, keep={"checkpoint-10", "checkpoint-4"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-4"]


def test_a_kill_within_a_removal_leaves_no_half_that_looks_whole(tmp_path, monkeypatch):
    best = checkpoint(tmp_path, 4)
    checkpoint(tmp_path, 8, best=best)
    removed = shutil.rmtree

    def killed(path):
        (path / STATE).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(training_callbacks.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_checkpoints(tmp_path)
    monkeypatch.setattr(training_callbacks.shutil, "rmtree", removed)
    # the newest went first: what is left can still find its best
    assert newest_whole_checkpoint(tmp_path).step == 4


# Watch


@pytest.mark.parametrize(
    ("step", "late", "saved"),
    [
        (3, True, True),
        (3, False, False),
        (5, True, False),  # the epoch's evaluation comes first, and saves
        (10, True, False),
        (12, True, False),  # the last step, likewise
    ],
)
def test_checkpoints_by_time_but_not_before_an_evaluation(step, late, saved):
    watch = Watch(1, steps=12, epoch_steps=5, save_every_s=0.0 if late else 60.0)
    assert saves(watch, step) is saved


def test_an_interruption_saves_and_stops_at_the_next_step():
    watch = Watch(1, steps=12, epoch_steps=5)
    watch.on_save(ARGS, at(3), TrainerControl())
    assert saves(watch, 4) is False
    watch.interrupted = True
    assert saves(watch, 4) is True
    with pytest.raises(Interrupted, match="interrupted at step 4 of 12"):
        watch.on_save(ARGS, at(4), TrainerControl())
    # nothing is left to resume after the last step
    watch.on_save(ARGS, at(12), TrainerControl())


def test_random_numbers_are_a_function_of_seed_step_and_process():
    def drawn(seed, step, process=0, before=0):
        torch.rand(before)
        watch = Watch(seed, 12, 5)
        watch.on_step_begin(SimpleNamespace(process_index=process), at(step), TrainerControl())
        return torch.rand(4).tolist()

    assert drawn(1, 3) == drawn(1, 3, before=17)
    others = [drawn(1, 4), drawn(2, 3), drawn(1, 3, process=1), drawn(2**32 - 1, 3)]
    assert drawn(1, 3) not in others
    assert len({str(other) for other in others}) == 4


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_training(loss):
    control = TrainerControl()
    watch = Watch(1, 12, 5)
    watch.on_log(ARGS, at(3, log_history=[{"loss": loss}, {"loss": 0.3}]), control)
    assert not control.should_training_stop
    watch.on_log(ARGS, at(3, log_history=[{"loss": 0.3}, {"loss": loss}]), control)
    assert control.should_training_stop


def test_gradients_that_overflow_in_fp16_are_no_divergence():
    assert not diverged([{"loss": 0.7, "grad_norm": math.inf}, {"eval_score": 0.1}])
    assert diverged([{"loss": 0.7}, {"train_loss": math.nan}])


def test_curves_hold_what_can_be_drawn():
    history = [
        {"loss": 0.5, "learning_rate": 1e-3, "epoch": 0.33333333, "step": 1},
        {"loss": math.nan, "epoch": 0.5, "step": 2},
        {"eval_score": 0.7, "epoch": 1.0, "step": 3},
        {"train_loss": 0.4, "epoch": 1.0, "step": 3},
    ]
    assert curves(history, "macro_f1") == [
        (1, 0.3333, "loss", 0.5),
        (1, 0.3333, "learning_rate", 1e-3),
        (3, 1.0, "dev macro_f1", 0.7),
    ]


# the others


def test_the_bar_moves_on_from_where_a_resumed_run_begins():
    moved = []
    bar = Bar(moved.append)
    bar.on_train_begin(ARGS, at(7), TrainerControl())
    for step in (8, 9):
        bar.on_step_end(ARGS, at(step), TrainerControl())
    assert moved == [7, 1, 1]


@pytest.mark.parametrize(("epoch", "expected"), [(None, 0), (0.0, 0), (2.9999999, 3), (3.4, 3)])
def test_the_sampler_is_told_its_epoch(epoch, expected):
    order = LengthGrouped([1, 2, 3], 2, 1)
    EpochOrder(order).on_epoch_begin(ARGS, at(0, epoch), TrainerControl())
    assert order.epoch == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_stops_at_once(number):
    before = signal.getsignal(number)
    watch = Watch(1, 12, 5)
    with interruptible(watch):
        os.kill(os.getpid(), number)
        assert watch.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_signals_are_left_alone_in_other_threads():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with interruptible(Watch(1, 12, 5)):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_single_process_asks_nobody():
    assert training_callbacks.is_main()
    assert training_callbacks.from_main("x") == "x"
    assert training_callbacks.agreed(True, False) == (True, False)
    training_callbacks.wait_for_all()
