from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_study
from tiny_study import CPU

from lowres import training_arguments as arguments
from lowres.errors import DeviceError
from lowres.hardware import Hardware
from lowres.training_arguments import split_batch, training_arguments


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    return tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base") / "bert")


def study(folder, **sections):
    return tiny_study.recipe(folder, "classification", **sections)


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "expected"),
    [
        (16, None, 1, (16, 1)),
        (16, 4, 1, (4, 4)),
        (16, None, 2, (8, 1)),
        (16, 4, 2, (4, 2)),
        (16, 16, 4, (4, 1)),
        (6, 2, 3, (2, 1)),
    ],
)
def test_the_effective_batch_is_kept(batch, micro, processes, expected):
    assert split_batch(batch, micro, processes) == expected
    passes = expected[0] * expected[1] * processes
    assert passes == batch


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "says"),
    [
        (16, None, 3, r"train\.batch 16 does not divide among 3 processes; make it a multiple"),
        (12, 4, 2, r"train\.micro_batch 4 does not divide the 6 windows of each of 2 processes"),
    ],
)
def test_a_batch_that_cannot_be_kept_is_refused(batch, micro, processes, says):
    with pytest.raises(DeviceError, match=says):
        split_batch(batch, micro, processes)


@pytest.fixture
def asked(monkeypatch):
    """`asked(recipe, hardware)`: what TrainingArguments would be given; real ones look for the
    processes and the GPU that they are told of."""

    def ask(recipe, hardware=CPU):
        given = SimpleNamespace(n_gpu=1)

        def make(**known):
            vars(given).update(known)
            return given

        monkeypatch.setattr(arguments, "TrainingArguments", make)
        monkeypatch.setattr(arguments, "_checkpointing", lambda _: {})
        return training_arguments(recipe, 1, 44, hardware, Path("run"))

    return ask


@pytest.mark.parametrize("world", ["1", "2", "4"])
def test_processes_share_the_batch(base, monkeypatch, asked, world):
    monkeypatch.setenv("WORLD_SIZE", world)
    made = asked(study(base, train={"batch": 8, "micro_batch": 2}))
    share = made.per_device_train_batch_size
    assert share * int(world) == 8
    assert made.max_steps == 18
    assert made.average_tokens_across_devices is True


@pytest.mark.parametrize(("precision", "flags"), [("fp16", (True, False)), ("bf16", (False, True))])
def test_number_formats_reach_the_trainer(base, asked, precision, flags):
    made = asked(study(base), Hardware("cuda", precision))
    assert (made.fp16, made.bf16) == flags
    assert made.use_cpu is False
    assert made.dataloader_pin_memory is True


def test_several_gpus_in_one_process_do_not_multiply_the_batch(base, tmp_path, monkeypatch):
    from transformers import TrainingArguments

    setup = TrainingArguments.__post_init__

    def with_four_gpus(self):
        setup(self)
        self._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", with_four_gpus)
    made = training_arguments(study(base), 1, 44, CPU, tmp_path)
    assert (made.n_gpu, made.train_batch_size) == (1, 8)


def test_a_trainer_with_another_batch_is_refused(base, tmp_path, monkeypatch):
    monkeypatch.setattr(arguments, "split_batch", lambda *_: (4, 1))
    with pytest.raises(AssertionError, match="not the recipe's effective batch"):
        tiny_study.train(study(base), tmp_path)
