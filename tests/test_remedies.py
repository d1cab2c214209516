"""What `lowres plan` proposes where a recipe does not fit: every number is tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_peaks import ADAPTED, case
from test_plan import call, writes_study

from lowres import cards, footprint, remedies, shapes
from lowres.doctor import Ability
from lowres.recipe_loading import load


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a base that is not on this disk, without data."""
    return writes_study(tmp_path, monkeypatch)


def refused(*words: str) -> tuple[dict[str, Any], list[str]]:
    """What a plan that does not fit says: the whole of it as JSON, and its lines on stderr."""
    result = call("study.yaml", *words, "--json")
    assert result.exit_code == 2, result.output
    found = json.loads(result.stdout)
    said = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert not found["fits"]
    assert said == found["faults"]
    return found, said


def proposed(line: str) -> list[str]:
    """The overrides that a fault names, without what is said of them."""
    _, _, changes = line.rpartition("; set ")
    return [change.split(" (")[0] for change in changes.split(", or ")]


def test_what_does_not_fit_says_what_does(study: Path) -> None:
    found, (line,) = refused("--gpu", "2GB", "train.batch=48")
    assert line.startswith("train: needs ")
    (change,) = proposed(line)
    micro = int(change.removeprefix("train.micro_batch="))
    assert 48 % micro == 0
    assert micro <= found["largest_micro_batch"] < 48
    words = ["--gpu", "2GB", "train.batch=48", change, "--json"]
    assert json.loads(call("study.yaml", *words).stdout)["fits"]
    text = call("study.yaml", *words[:-2])
    assert (text.exit_code, "does not fit: " in text.stdout) == (2, True)


def test_one_window_that_does_not_fit(study: Path) -> None:
    words = ["--gpu", "1GB", "train.max_tokens=900", "base.quantization=none"]
    _, (line,) = refused(*words)
    assert line.startswith("base.name xlm-roberta-base: its weights take ")
    words = ["--gpu", "2GB", "train.max_tokens=1200", "base.quantization=none"]
    _, (line,) = refused(*words)
    assert "at train.micro_batch=1 (windows of 1200 tokens)" in line
    first, *others = [change.removeprefix("train.micro_batch=1 with ") for change in proposed(line)]
    assert "train.micro_batch=1 with " in line
    assert [change.split("=")[0] for change in (first, *others)] == [
        *("train.gradient_checkpointing", "train.max_tokens", "base.quantization", "base.name"),
    ]
    for change in (first, *others):
        done = call("study.yaml", *words, "train.micro_batch=1", change)
        assert done.exit_code == 0, (change, done.output)
    # a number that fits is the largest that does
    (tokens,) = [c for c in (first, *others) if c.startswith("train.max_tokens=")]
    more = f"train.max_tokens={int(tokens.split('=')[1]) + 1}"
    assert call("study.yaml", *words, "train.micro_batch=1", more).exit_code == 2


def test_fewer_bits_come_before_another_base(study: Path) -> None:
    words = ["--gpu", "2GB", "base.name=xlm-roberta-large", "base.quantization=none"]
    (line,) = refused(*words)[1]
    assert line.startswith("base.name xlm-roberta-large: its weights take 2,132 MB in float32")
    assert proposed(line) == ["base.quantization=8bit", "base.name=mmBERT-base"]
    for change in proposed(line):
        assert call("study.yaml", *words, "train.batch=1", change).exit_code == 0


def test_bits_that_the_place_cannot_compute_are_not_proposed() -> None:
    planned = case(load("quickstart", ["base.name=xlm-roberta-large"]), 128, "none", "cuda")
    for abilities, first in (((True, True), "8bit"), ((False, True), "4bit"), ((False, False), "")):
        int8, nf4 = (Ability(able, "") for able in abilities)
        place = replace(planned.place, free_mb=2000.0, int8=int8, nf4=nf4)
        said = remedies.too_heavy(replace(planned, place=place))
        assert said is not None
        assert said.partition("base.quantization=")[2][:4] == first


def test_a_base_of_one_language_is_never_proposed(study: Path) -> None:
    # minilm-en is the only known base so small
    found, (line,) = refused("--gpu", "0.5GB")
    assert "no known base fits" in line
    assert found["largest_micro_batch"] == 0
    small = shapes.KNOWN["minilm-en"]
    least = footprint.weights(footprint.Setting(small, "8bit", "cuda", "bf16"))
    assert least < found["place"]["free_mb"] - cards.CONTEXT_MB


def test_other_stages_that_do_not_fit(study: Path) -> None:
    words = ["--gpu", "1GB", "train.batch=1", "evaluate.batch_tokens=60000"]
    # source dev is read as the tests are
    _, lines = refused(*words)
    assert [line.partition(":")[0] for line in lines] == ["train", "evaluate"]
    assert all("; set evaluate.batch_tokens=" in line for line in lines)
    change = min((proposed(line)[0] for line in lines), key=lambda c: int(c.split("=")[1]))
    assert call("study.yaml", *words[:3], change).exit_code == 0
    over = f"evaluate.batch_tokens={int(change.split('=')[1]) + 1}"
    assert call("study.yaml", *words[:3], over).exit_code == 2


def test_an_adaptation_that_does_not_fit(study: Path) -> None:
    words = ["--gpu", "4GB", *ADAPTED, "adapt.max_tokens=512"]
    _, (line,) = refused(*words)
    assert line.startswith("adapt: needs ")
    assert "adapt.batch=32 (lines of 512)" in line
    changes = proposed(line)
    assert [change.split("=")[0] for change in changes[:2]] == ["adapt.batch", "adapt.max_tokens"]
    for change in changes[:2]:
        assert call("study.yaml", *words, change).exit_code == 0, change
    more = f"adapt.batch={int(changes[0].split('=')[1]) + 1}"
    assert call("study.yaml", *words, more).exit_code == 2


def test_an_extension_that_does_not_fit(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=4 * 2**30, available=1600 * 2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr(cards, "_sees_gpu", lambda: False)
    words = ["text.files={lang}.txt", "tokenizer.extend.pieces=100", "train.batch=1"]
    words += ["evaluate.batch_tokens=128"]
    line = refused(*words)[1][0]
    assert line.startswith("extend: needs ")
    (change,) = proposed(line)
    assert call("study.yaml", *words, change).exit_code == 0
