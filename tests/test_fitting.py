from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny_study

from lowres import bases, cards, fitting, peaks
from lowres.doctor import Ability
from lowres.errors import BaseModelError, DeviceError
from lowres.hardware import Hardware
from lowres.job import Attempt, Job
from lowres.lengths import Lengths
from lowres.progress import Silent
from lowres.shared import Shared

GPU = Hardware("cuda", "fp16")


class Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    return tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base") / "bert")


@pytest.fixture
def job(base, tmp_path):
    """`job(**train)`: with what it says in `progress.lines`."""

    def make(hardware=tiny_study.CPU, **train):
        recipe = tiny_study.recipe(base, train=train)
        known = (recipe, 1, tiny_study.data(), bases.locate(str(base)), hardware, tmp_path)
        return Job(*known, Said(), 60.0, Shared(), None)

    return make


def card(monkeypatch, free_mb, **changes):
    """A machine with a T4 of which so much is free."""
    place = replace(cards.place("T4", tiny_study.recipe("x").train), free_mb=free_mb, **changes)
    monkeypatch.setattr(cards, "card_here", lambda train: place)


def split(job, windows=(20,) * 40, attempt=None):
    remembered = []
    micro = fitting.micro_batches(job, attempt or Attempt(), windows, remembered.append)
    return micro, remembered


@pytest.mark.parametrize(
    ("train", "size"), [({}, 8), ({"micro_batch": 4}, 4), ({"batch": 64, "micro_batch": 1}, 1)]
)
def test_a_recipe_that_says_it_is_followed(job, train, size):
    micro, remembered = split(job(**train))
    assert (micro.size, remembered) == (size, [])


def test_auto_takes_what_is_free_and_divides_the_batch(job, monkeypatch):
    asked = job(batch=24, micro_batch="auto")
    case = fitting._case(asked.recipe, asked.located, asked.hardware, lengths(20))
    needs = {n: peaks.beside(case, n) for n in (1, 6, 8, 12, 24)}
    assert sorted(needs.values()) == list(needs.values())
    for free_of, size in ((24, 24), (12, 12), (8, 8)):
        free = needs[free_of] / peaks.USED * 1.001
        monkeypatch.setattr(fitting, "_free_mb", lambda machine, free=free: free)
        micro, remembered = split(asked)
        assert micro.size == size
        assert [one.micro_batch for one in remembered] == [size]
    assert asked.progress.lines[-1].startswith("train.micro_batch: 8 of 24 windows at once; ")


def lengths(tokens):
    return Lengths(tokens, tokens, 40, 3, 0, 0, 18, "")


def test_an_interrupted_run_goes_on_with_its_own(job):
    micro, remembered = split(job(batch=12, micro_batch="auto"), attempt=Attempt(micro_batch=5))
    assert (micro.size, remembered) == (4, [])


def test_several_processes_have_a_share_each(job, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert split(job(batch=12, micro_batch="auto"))[0].size == 6
    assert split(job(batch=12))[0].size == 6


def test_what_fits_in_no_way_is_refused(job, monkeypatch):
    monkeypatch.setattr(fitting, "_free_mb", lambda machine: 0.01)
    with pytest.raises(DeviceError, match=r"train: .* at train\.micro_batch=1 .* MB free; set "):
        split(job(micro_batch="auto"))


def test_halving_is_said_and_remembered(job):
    asked = job(micro_batch=8)
    micro, remembered = split(asked)
    micro.halve()
    assert [one.micro_batch for one in remembered] == [4]
    assert asked.progress.lines == [
        "out of memory at train.micro_batch=8: the step begins again with 4 (the effective batch "
        "stays 8)"
    ]


def test_a_card_smaller_than_the_weights(job, monkeypatch):
    card(monkeypatch, cards.CONTEXT_MB + 0.01)
    asked = job(GPU)
    with pytest.raises(DeviceError, match=r"weights take .* MB in float32, T4 has 0 MB .* fits"):
        fitting.check(asked.recipe, asked.located, GPU, asked.progress)


def test_a_card_that_others_use(job, monkeypatch):
    line = "other processes hold 9,000 of 15,360 MB of GPU memory; 6,360 MB are free"
    card(monkeypatch, 6360.0, warnings=(line,))
    asked = job(GPU)
    fitting.check(asked.recipe, asked.located, GPU, asked.progress)
    assert asked.progress.lines == [line]


def test_a_quantisation_that_the_card_lacks(job, monkeypatch):
    card(monkeypatch, 9000.0, int8=Ability(False, "needs compute capability 7.5; use 4bit"))
    asked = job(GPU)
    base = asked.recipe.base.model_copy(update={"quantization": "8bit"})
    recipe = asked.recipe.model_copy(update={"base": base})
    with pytest.raises(DeviceError, match=r"8bit on T4: needs .* use 4bit"):
        fitting.check(recipe, asked.located, GPU, asked.progress)


def test_a_processor_is_judged_by_all_its_memory(job, monkeypatch):
    memory = SimpleNamespace(total=8 * 2**30, available=2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    asked = job()
    fitting.check(asked.recipe, asked.located, tiny_study.CPU, asked.progress)
    (line,) = asked.progress.lines
    assert line.startswith("evaluate: takes ")
    assert "1 of 8,192 MB of memory are free" in line
    memory.available = 7 * 2**30
    asked.progress.lines.clear()
    fitting.check(asked.recipe, asked.located, tiny_study.CPU, asked.progress)
    assert asked.progress.lines == []


def test_plan_and_run_choose_the_same_micro_batch(job, monkeypatch):
    """Where a run finds as much free beside the loaded model as the plan says."""
    asked = job(batch=24, micro_batch="auto")
    case = fitting._case(asked.recipe, asked.located, asked.hardware, lengths(20))
    chosen = []
    for size in (24, 12, 8, 6, 4):
        # at the edge, where leaving a fifth and taking all differ
        for room in (1.001, 1 / peaks.USED * 0.999, 1 / peaks.USED * 1.001):
            free = peaks.held(case) + room * peaks.beside(case, size)
            here = replace(case, place=replace(case.place, free_mb=free))
            left = free - peaks.held(case)
            monkeypatch.setattr(fitting, "_free_mb", lambda machine, left=left: left)
            assert split(asked)[0].size == here.micro_batch
            chosen.append(here.micro_batch)
    assert set(chosen) >= {24, 12, 8}


def test_an_encoder_of_unknown_sizes_is_tried(job, monkeypatch):
    def unknown(folder, name):
        raise BaseModelError("no hidden_size")

    monkeypatch.setattr(fitting.shapes, "read", unknown)
    asked = job(micro_batch="auto")
    fitting.check(asked.recipe, asked.located, tiny_study.CPU, asked.progress)
    assert split(asked)[0].size == 8
