from __future__ import annotations

import pytest
import tiny_study
import torch
from tiny_study import CPU
from transformers import set_seed

from lowres import bases, lora, model
from lowres.shared import Shared


@pytest.fixture(scope="module")
def base(tiny_tokenizer, tmp_path_factory):
    """With dropout: a random state that is off by one draw shows."""
    folder = tmp_path_factory.mktemp("base") / "bert"
    return tiny_study.base("bert", tiny_tokenizer, folder, dropout=0.1)


def given(base, quantization="none", task="classification"):
    """What a base is asked for by, and the study of it."""
    study = tiny_study.recipe(base, task, base={"quantization": quantization})
    labels = tiny_study.data(task).labels
    return study, (bases.locate(str(base)), study.base, study.task, labels, CPU)


def tensors(network):
    """All that a network holds: parameters, buffers, what bitsandbytes keeps beside them."""
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for path, module in network.named_modules():
        state = getattr(module, "state", None)
        found |= {f"{path}.{n}": getattr(state, n, None) for n in ("CB", "SCB")}
        if (meaning := getattr(module, "quant_state", None)) is not None:
            found[f"{path}.absmax"] = meaning.absmax
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def logits(network):
    network.eval()
    with torch.inference_mode():
        return network(input_ids=torch.arange(5, 25).view(2, 10)).logits


def steps(network, count=3):
    """A few optimiser steps, dropout and all."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    network.train()
    for _ in range(count):
        out = network(input_ids=torch.arange(5, 25).view(2, 10), labels=torch.tensor([0, 1]))
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return out.loss.item()


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
@pytest.mark.parametrize("options", [{}, {"dora": True}])
def test_after_training_the_base_is_what_it_was(base, quantization, options):
    study, asked = given(base, quantization)
    options = study.lora.model_copy(update=options)
    shared = Shared()
    set_seed(1)
    before = logits(shared.base(*asked))
    held = {n: t.clone() for n, t in tensors(shared._loaded.network).items()}
    losses = []
    for _ in range(2):
        set_seed(7)
        network = lora.attach(shared.base(*asked), options, study.task, "tiny")
        lora.halve_frozen(network, CPU)
        losses.append(steps(network))
    after = tensors(shared._loaded.network)
    assert after.keys() == held.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in held.items())
    assert losses[0] == losses[1]
    set_seed(1)
    assert torch.equal(logits(shared.base(*asked)), before)


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_a_twin_is_what_loading_anew_gives(base, quantization):
    study, asked = given(base, quantization)
    shared = Shared()
    for seed in (1, 2):
        set_seed(seed)
        fresh = lora.attach(model.load_base(*asked), study.lora, study.task, "tiny")
        loss = steps(fresh)
        set_seed(seed)
        twin = lora.attach(shared.base(*asked), study.lora, study.task, "tiny")
        assert steps(twin) == loss
        assert torch.equal(logits(twin), logits(fresh))
        drawn = dict(twin.named_parameters())
        for name, value in fresh.named_parameters():
            assert torch.equal(drawn[name], value), name
            assert drawn[name].requires_grad == value.requires_grad


def test_frozen_weights_are_held_once(base):
    _, asked = given(base, "8bit")
    shared = Shared()
    one, two = (shared.base(*asked) for _ in range(2))
    a, b = tensors(one), tensors(two)
    apart = [n for n in a if a[n].data_ptr() != b[n].data_ptr() and a[n].numel() > 1]
    assert {name.split(".")[0] for name in apart} <= {"classifier", "bert"}
    assert [name for name in apart if "layer" in name or "word_embeddings" in name] == []


def test_a_base_is_read_once_for_every_key(base, tmp_path, tiny_tokenizer, monkeypatch):
    read, load = [], model.load_base
    monkeypatch.setattr(model, "load_base", lambda *known: read.append(known) or load(*known))
    _, asked = given(base)
    _, other = given(tiny_study.base("bert", tiny_tokenizer, tmp_path / "other"))
    shared = Shared()
    for one in (asked, asked, other, other, asked):
        shared.base(*one)
    assert len(read) == 3


def test_windows_and_tokenizers_are_made_once(base, monkeypatch):
    study, asked = given(base)
    data, shared = tiny_study.data(), Shared()
    made, encode = [], type(study.task).encode
    monkeypatch.setattr(
        type(study.task), "encode", lambda *known: made.append(known) or encode(*known)
    )
    tokenizer = shared.tokenizer(asked[0])
    assert shared.tokenizer(asked[0]) is tokenizer
    known = (study.task, data.train, tokenizer, data.labels, 24)
    one = shared.windows(*known)
    assert shared.windows(*known) is one
    assert one.to_dict() == encode(study.task, data.train, tokenizer, data.labels, 24).to_dict()
    # the same text from another file is the same text; other text, or windows of other sizes, not
    again = tiny_study.data().train
    assert shared.windows(study.task, again, *known[2:]) is one
    assert shared.windows(study.task, data.dev, *known[2:]) is not one
    assert shared.windows(*known[:4], 8) is not one
    assert len(made) == 3


def test_old_windows_are_let_go(base, monkeypatch):
    study, asked = given(base)
    data, shared = tiny_study.data(), Shared()
    monkeypatch.setattr("lowres.shared.WINDOWS_KEPT", 50)
    known = (shared.tokenizer(asked[0]), data.labels, 24)
    one = shared.windows(study.task, data.train, *known)
    shared.windows(study.task, data.dev, *known)
    assert shared.windows(study.task, data.train, *known) is not one
