from __future__ import annotations

import json
import os
import signal

import pytest
import tiny_study
import torch
from safetensors.torch import load_file

from lowres import train as training
from lowres.errors import Interrupted
from lowres.microbatches import MicroBatches, divisor
from lowres.progress import Silent
from lowres.trainer import SourceTrainer

FULL = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    MemoryError(),
)


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    """With dropout: a step that is done again must draw what it would have drawn."""
    folder = tmp_path_factory.mktemp("base") / "bert"
    return tiny_study.base("bert", tiny_tokenizer, folder, dropout=0.1)


def study(base, task="tagging", **train):
    return tiny_study.recipe(base, task, train={"epochs": 2, **train})


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.fixture
def full(monkeypatch):
    """`full(size, error, of=1)`: a machine whose memory is full in the `of`-th forward pass of
    `size` windows or more; returns the sizes of all passes."""

    def fill(size, error, of=1, during=lambda: None):
        passes, compute = [], SourceTrainer.compute_loss

        def watched(self, model, inputs, *rest, **known):
            passes.append(len(inputs["input_ids"]))
            if sum(n >= size for n in passes) == of and passes[-1] >= size:
                during()
                raise error
            return compute(self, model, inputs, *rest, **known)

        monkeypatch.setattr(SourceTrainer, "compute_loss", watched)
        return passes

    return fill


@pytest.mark.parametrize(
    ("of", "most", "found"), [(16, 16, 16), (16, 9, 8), (12, 5, 4), (7, 6, 1), (1, 1, 1)]
)
def test_a_divisor(of, most, found):
    assert divisor(of, most) == found


@pytest.mark.parametrize(("size", "count"), [(4, 1), (2, 2), (1, 4)])
def test_parts_are_the_step_without_what_pads_it(size, count):
    lengths = [5, 4, 2, 1]
    ids = torch.arange(20).view(4, 5)
    inputs = {"input_ids": ids, "attention_mask": torch.ones(4, 5), "labels": torch.arange(4)}
    parts = list(MicroBatches(size, 4).parts(inputs, lengths))
    assert len(parts) == count
    assert torch.cat([part["labels"] for part in parts]).tolist() == [0, 1, 2, 3]
    for number, part in enumerate(parts):
        some = slice(number * size, (number + 1) * size)
        longest = 5 if count == 1 else max(lengths[some])
        assert torch.equal(part["input_ids"], ids[some, :longest])
        assert part["attention_mask"].shape == part["input_ids"].shape


def test_halving_ends_at_one_and_divides():
    told = []
    micro = MicroBatches(12, 12, lambda *sizes: told.append(sizes))
    for _ in range(3):
        micro.halve()
    assert told == [(12, 6), (6, 3), (3, 1)]


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("of", [1, 2], ids=["first", "in the middle of a step"])
def test_after_full_memory_a_step_begins_again_with_half(base, tmp_path, full, error, of):
    """The same weights to the last bit as with the small micro-batch from the start: no window is
    lost, no gradient counted twice, no draw another."""
    small = tiny_study.train(study(base, micro_batch=2), tmp_path / "small")
    passes = full(4, error, of)
    other = tiny_study.train(study(base, micro_batch=4), tmp_path / "large")
    assert passes[: of + 4] == [4] * of + [2] * 4
    assert set(passes[of:]) == {2}
    assert (small.micro_batch, other.micro_batch) == (2, 2)
    assert other.curves == small.curves
    one, two = weights(tmp_path / "small"), weights(tmp_path / "large")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [p.name for p in (tmp_path / "large").iterdir()] == ["adapter"]


def test_it_halves_as_often_as_it_takes_and_says_so(base, tmp_path, monkeypatch, capfd):
    compute, said = SourceTrainer.compute_loss, []

    def narrow(self, model, inputs, *rest, **known):
        if len(inputs["input_ids"]) > 1:
            raise FULL[0]
        return compute(self, model, inputs, *rest, **known)

    monkeypatch.setattr(SourceTrainer, "compute_loss", narrow)
    monkeypatch.setattr(Silent, "say", lambda self, line: said.append(line))
    outcome = tiny_study.train(study(base, steps=2), tmp_path)
    assert outcome.micro_batch == 1
    halvings = [line for line in said if "micro_batch" in line]
    assert [line.partition(":")[0] for line in halvings] == [
        f"out of memory at train.micro_batch={size}" for size in (8, 4, 2)
    ]
    assert "begins again with 4 (the effective batch stays 8)" in halvings[0]


def test_other_errors_and_full_memory_at_one_window_end_the_run(base, tmp_path, full):
    full(1, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        tiny_study.train(study(base, micro_batch=2), tmp_path / "a")
    full(1, FULL[0])
    with pytest.raises(torch.OutOfMemoryError):
        tiny_study.train(study(base, micro_batch=1), tmp_path / "b")


def test_a_resumed_run_goes_on_with_what_memory_took(base, tmp_path, full):
    undisturbed = tiny_study.train(study(base, micro_batch=2), tmp_path / "a")
    full(4, FULL[0], during=lambda: os.kill(os.getpid(), signal.SIGINT))
    recipe = study(base, micro_batch=4)
    with pytest.raises(Interrupted):
        tiny_study.train(recipe, tmp_path / "b", save_every_s=0.0)
    assert json.loads((tmp_path / "b" / training.ATTEMPT).read_text())["micro_batch"] == 2
    passes = full(99, FULL[0])
    outcome = tiny_study.train(recipe, tmp_path / "b")
    assert set(passes) == {2}
    assert outcome.micro_batch == 2
    one, two = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert undisturbed.dev == outcome.dev


@pytest.mark.parametrize("asked", [{"batch": "auto"}, {"micro_batch": "auto"}])
def test_auto_keeps_the_effective_batch(base, tmp_path, asked):
    outcome = tiny_study.train(study(base, steps=3, **asked), tmp_path)
    assert outcome.micro_batch == (16 if "batch" in asked else 8)
