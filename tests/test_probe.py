from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_language
import torch
from tiny_adapter import adapter_of
from tiny_study import CPU

from lowres import bases, extension, probe
from lowres.errors import RunError


def make(folder, base, task):
    options = tiny_language.task_options(task)
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]
    return probe.make(folder, bases.locate(str(base)), options, labels, CPU)


@pytest.mark.parametrize("task", ["classification", "pairs", "tagging"])
def test_sixteen_sentences_as_plain_transformers_reads_them(task, tiny_base, tmp_path):
    folder = adapter_of(tmp_path / "a", tiny_base, task)
    probes = make(folder, tiny_base, task)
    assert len(probes) == 16
    tokens = [len(one.input_ids) for one in probes]
    expected = [(length, 3) if task == "tagging" else (3,) for length in tokens]
    assert [one.logits.shape for one in probes] == expected
    assert {"tokens" in one.fields for one in probes} == {task == "tagging"}
    assert {"text_pair" in one.fields for one in probes} == {task == "pairs"}
    again = make(folder, tiny_base, task)
    assert all(np.array_equal(a.logits, b.logits) for a, b in zip(probes, again, strict=True))
    adapter = {"study": "s", "task": task, "labels": ["b", "a"]}
    probe.write(tmp_path / "probe.json", probes, {"id": "ada/base"}, adapter)
    stored = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    assert stored["base"] == {"id": "ada/base"}
    assert np.allclose(stored["probes"][8]["logits"], probes[8].logits, atol=1e-9)
    text = (tmp_path / "probe.json").read_text(encoding="utf-8")
    assert probe.lineage(text) == ("s", task, ["a", "b"], "ada/base")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"probes": []}', '{"schema": 1, "adapter": {}, "base": {"id": "a/b"}}'],
)
def test_what_lowres_has_not_written_has_no_lineage(text):
    assert probe.lineage(text) is None


def test_new_pieces_are_probed(tiny_unigram_base, tmp_path):
    located = tiny_language.extend(bases.locate(str(tiny_unigram_base)), tmp_path / "pieces")
    pieces = extension.read(tmp_path / "pieces").pieces
    found = probe.sentences(pieces)
    assert len(found) == 16
    ids = {i for text in found for i in model_ids(located, text)}
    first = extension.read(tmp_path / "pieces").first_id
    assert ids & set(range(first, first + len(pieces)))


def model_ids(located, text):
    from lowres import model

    return model.load_tokenizer(located)(text)["input_ids"]


@pytest.mark.parametrize("pieces", [("▁",), ("##", "▁"), ("x",), tuple("abcdefghij" * 30)])
def test_any_pieces_make_sentences(pieces):
    found = probe.sentences(pieces)
    assert len(found) == 16
    assert all(text.strip() for text in found)


def test_numbers_that_are_not_finite(tiny_base, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = adapter_of(tmp_path / "a", tiny_base, "classification")
    weights = load_file(folder / "adapter_model.safetensors")
    head = next(name for name in weights if "classifier" in name and name.endswith("bias"))
    weights[head] = torch.full_like(weights[head], float("nan"))
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match="logits that are not finite"):
        make(folder, tiny_base, "classification")
