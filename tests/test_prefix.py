from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_study
import torch
from safetensors.torch import load_file
from test_blocks import BUILT
from tiny_study import CPU
from transformers import set_seed

from lowres import adapter_files, bases, blocks, inference, lora, model, prefix, rows, sealed
from lowres import train as training
from lowres.prefix import Store
from lowres.progress import Silent
from lowres.shared import Shared


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    """Without dropout, so that a run with the prefix is comparable to one without."""
    return tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base") / "bert")


def made(base, store, layers="top:1", quantization="none"):
    """A network with LoRA on its highest layer, its windows, and its prefix."""
    study = tiny_study.recipe(base, lora={"layers": layers}, base={"quantization": quantization})
    data, located = tiny_study.data(), bases.locate(str(base))
    set_seed(1)
    plain = model.load_base(located, study.base, study.task, data.labels, CPU)
    network = lora.attach(plain, study.lora, study.task, "tiny")
    tokenizer = model.load_tokenizer(located)
    windows = study.task.encode(data.dev, tokenizer, data.labels, 24)
    return network, windows, prefix.of(network, located, quantization, CPU, store)


def logits(network, windows, frozen=None):
    return np.stack(
        inference._logits(network, windows.to_list(), 0, CPU, 64, lambda n: None, frozen)
    )


@pytest.mark.parametrize("kind", BUILT)
def test_states_in_place_of_layers_give_the_same_logits(kind, tiny_tokenizer, tmp_path):
    base = tiny_study.base(kind, tiny_tokenizer, tmp_path / kind)
    network, windows, frozen = made(base, Store(tmp_path / "states"))
    assert len(frozen) == 1
    expected = logits(network, windows)
    found = logits(network, windows, frozen)
    np.testing.assert_allclose(found, expected, atol=3e-3)
    assert list((tmp_path / "states").glob("*.f16"))


def test_frozen_layers_are_run_once_for_all_passes(base, tmp_path):
    runs, often = [], 0
    for seed in range(2):
        network, windows, frozen = made(base, Store(tmp_path / "states"))
        lowest = blocks.find(network)[0].attention
        lowest.register_forward_hook(lambda *known: runs.append(1))
        before = len(runs)
        first = logits(network, windows, frozen)
        often = len(runs) - before
        # of the second seed one window alone, to see what a layer gives
        assert often == 1 if seed else often > 2
        assert np.array_equal(logits(network, windows, frozen), first)
        assert len(runs) == before + often


def test_they_drop_nothing_while_the_rest_does(tiny_tokenizer, tmp_path):
    base = tiny_study.base("bert", tiny_tokenizer, tmp_path / "bert", dropout=0.5)
    network, _, frozen = made(base, None)
    network.train()
    low, high = blocks.find(network)
    encoder = blocks.encoder_of(network)
    assert not any(module.training for module in (*low.modules(), *encoder.embeddings.modules()))
    assert all(module.training for module in high.modules())
    assert frozen.states([{"input_ids": [2, 5, 3]}], 0, 64) is None


@pytest.mark.parametrize("train", [{}, {"micro_batch": 2}, {"gradient_checkpointing": True}])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_training_comes_to_the_same_as_without(base, tmp_path, monkeypatch, task, train):
    study = tiny_study.recipe(
        base, task, lora={"layers": "top:1", "dropout": 0}, train={"epochs": 2, **train}
    )
    data, located = tiny_study.data(task), bases.locate(str(base))
    outcomes = []
    for name, store in (("without", None), ("with", Store(tmp_path / "states"))):
        (tmp_path / name).mkdir()
        known = (study, 1, data, located, CPU, tmp_path / name, Silent())
        outcomes.append(training.train(*known, store=store))
    one, two = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
        for name in ("without", "with")
    )
    assert len(list((tmp_path / "states").glob("*.f16"))) == 2  # train and dev
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=0.02, rtol=0)
    assert outcomes[0].dev == pytest.approx(outcomes[1].dev, abs=0.06)


def test_a_saved_adapter_is_an_ordinary_one(base, tmp_path):
    study = tiny_study.recipe(base, lora={"layers": "top:1"}, train={"epochs": 2})
    tiny_study.train(study, tmp_path)
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert not any("layer.0." in name for name in names)
    assert any("layer.1." in name for name in names)
    labelled, located = tiny_study.data(), bases.locate(str(base))
    plain = model.load_base(located, study.base, study.task, labelled.labels, CPU)
    network = adapter_files.load_adapter(plain, tmp_path / "adapter")
    assert blocks.frozen(network) == 1


@pytest.mark.parametrize("harm", ["cut", "bit", "manifest", "gone"])
def test_a_damaged_file_is_made_again(base, tmp_path, harm):
    said = []
    folder = tmp_path / "states"
    network, windows, frozen = made(base, Store(folder, said.append))
    expected = logits(network, windows, frozen)
    (data,), (manifest,) = folder.glob("*.f16"), folder.glob("*.json")
    content = bytearray(data.read_bytes())
    if harm == "cut":
        data.write_bytes(content[:-2])
    elif harm == "bit":
        content[100] ^= 255
        data.write_bytes(content)
    elif harm == "manifest":
        manifest.write_text("{")
    else:
        data.unlink()
    assert np.array_equal(logits(network, windows, frozen), expected)
    again = [line for line in said if "computed again" in line]
    assert len(again) == 1
    assert again[0].startswith(f"{data.with_suffix('')}: damaged")
    assert sealed.holds(manifest, json.loads(manifest.read_text())["about"])


def test_a_damaged_file_of_another_text_is_no_obstacle(base, tmp_path):
    store = Store(tmp_path / "states")
    _, windows, frozen = made(base, store)
    frozen.states(windows.to_list()[:5], 0, 64)
    (manifest,) = (tmp_path / "states").glob("*.json")
    manifest.write_text("{")
    assert frozen.states(windows.to_list(), 0, 64) is not None


def test_other_layers_texts_and_formats_have_other_files(base, tmp_path, tiny_tokenizer):
    store = Store(tmp_path / "states")
    _, windows, frozen = made(base, store)
    frozen.states(windows.to_list(), 0, 64)
    frozen.states(windows.to_list()[:5], 0, 64)
    assert len(list((tmp_path / "states").glob("*.f16"))) == 2
    other = tiny_study.base("bert", tiny_tokenizer, tmp_path / "other")
    _, windows, frozen = made(other, store)
    frozen.states(windows.to_list(), 0, 64)
    _, windows, frozen = made(base, store, quantization="8bit")
    frozen.states(windows.to_list(), 0, 64)
    assert len(list((tmp_path / "states").glob("*.f16"))) == 4


def test_new_rows_are_part_of_what_states_depend_on(base, tmp_path):
    files = []
    for value in (0.0, 1.0):
        study = tiny_study.recipe(base, lora={"layers": "top:1"})
        data, located = tiny_study.data(), bases.locate(str(base))
        plain = model.load_base(located, study.base, study.task, data.labels, CPU)
        rows.extend(plain, torch.full((2, 64), value), plain.config.vocab_size)
        network = lora.attach(plain, study.lora, study.task, "tiny")
        frozen = prefix.of(network, located, "none", CPU, Store(tmp_path))
        frozen.states([{"input_ids": [2, 5, plain.config.vocab_size, 3]}], 0, 64)
        files.append({file.name for file in tmp_path.glob("*.f16")})
        network.get_base_model().bert.embeddings.word_embeddings.rows.requires_grad_(True)
        assert prefix.of(network, located, "none", CPU, Store(tmp_path)) is None
    assert files[0] < files[1]


def test_a_full_disk_is_said_and_nothing_kept(base, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    network, windows, frozen = made(base, Store(tmp_path / "states", said.append))
    expected = logits(network, windows)
    assert np.array_equal(logits(network, windows, frozen), expected)
    assert len(said) == 1
    assert "more than 25% of the free disk; they are computed at each pass" in said[0]


def test_what_was_used_longest_ago_goes_first(base, tmp_path, monkeypatch):
    store = Store(tmp_path / "states")
    _, windows, frozen = made(base, store)
    texts = windows.to_list()
    first = frozen.states(texts[:6], 0, 64)
    size = 2 * 64 * sum(map(len, first))
    held = {file.name for file in (tmp_path / "states").iterdir()}
    room = SimpleNamespace(free=3 * size)  # a quarter of it and of what is held: one file
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    frozen.states(texts[6:9], 0, 64)
    assert held.isdisjoint(file.name for file in (tmp_path / "states").iterdir())
    # what was mapped before stays readable
    assert np.isfinite(first[0]).all()


def test_states_beyond_float16_are_not_kept(base, tmp_path, monkeypatch):
    network, windows, frozen = made(base, Store(tmp_path / "states"))
    norm = blocks.find(network)[0].output.LayerNorm
    norm.weight.data.mul_(1e6)
    expected = logits(network, windows)
    assert np.array_equal(logits(network, windows, frozen), expected)


def test_seeds_of_one_process_share_base_and_states(base, tmp_path):
    study = tiny_study.recipe(base, lora={"layers": "top:1"}, train={"epochs": 1})
    data, located = tiny_study.data(), bases.locate(str(base))
    shared, store = Shared(), Store(tmp_path / "states")
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        known = (study, 1, data, located, CPU, folder, Silent())
        training.train(*known, shared=shared, store=store)
        found.append(load_file(folder / "adapter" / "adapter_model.safetensors"))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())
    store.remove()
    assert not (tmp_path / "states").exists()
