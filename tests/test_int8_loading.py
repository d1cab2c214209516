"""A quantised base is what transformers loads, with its tables in int8."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import CPU
from transformers import AutoModel, AutoModelForMaskedLM
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

from lowres import int8_loading, model
from lowres.bases import LocatedBase
from lowres.errors import BaseModelError
from lowres.int8 import Int8Decoder, Int8Embedding, quantised
from lowres.recipe import Base


def located(folder: Path) -> LocatedBase:
    return LocatedBase("base", str(folder), None, None, "folder")


def encoder(folder: Path, quantization: str = "8bit", **known: Any) -> Any:
    base = Base(name="base", quantization=quantization, **known)
    return model.load_encoder(located(folder), base, CPU, masked_lm=False)[0]


def table_in_float(folder: Path) -> torch.Tensor:
    weight: torch.Tensor = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    return weight.detach()


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@pytest.mark.parametrize("base", ["tiny_base", "tiny_unigram_base"])
def test_the_table_is_that_of_the_checkpoint(request, base, quantization, monkeypatch):
    monkeypatch.setattr(int8_loading, "BLOCK_ROWS", 100)
    folder = request.getfixturevalue(base)
    loaded = encoder(folder, quantization)
    small = loaded.get_input_embeddings()
    assert isinstance(small, Int8Embedding)
    codes, scales = quantised(table_in_float(folder))
    assert torch.equal(small.codes, codes)
    assert torch.equal(small.scales, scales)
    # where it is from, which peft writes into an adapter
    assert loaded.name_or_path == loaded.config._name_or_path == str(folder)


def test_what_stays_float_is_that_of_the_checkpoint(tiny_base):
    plain = dict(AutoModel.from_pretrained(tiny_base).named_parameters())
    floats = {
        name: value
        for name, value in encoder(tiny_base).named_parameters()
        if value.is_floating_point() and "pooler" not in name
    }
    assert any("LayerNorm" in name for name in floats)
    for name, value in floats.items():
        assert torch.equal(value, plain[name]), name


def test_nothing_of_the_size_of_the_table_stays_in_float(tiny_base):
    loaded = encoder(tiny_base)
    rows = loaded.get_input_embeddings().num_embeddings
    held = [*loaded.parameters(), *loaded.buffers()]
    assert not [t.shape for t in held if t.is_floating_point() and t.numel() > 10 * rows]


def test_several_files_are_read_as_one(tiny_base, tmp_path):
    folder = tmp_path / "sharded"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors").unlink()
    AutoModel.from_pretrained(tiny_base).save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    same = encoder(folder).get_input_embeddings()
    assert torch.equal(same.codes, encoder(tiny_base).get_input_embeddings().codes)


def test_pickles_only_where_they_are_allowed(tiny_base, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors").unlink()
    torch.save(AutoModel.from_pretrained(tiny_base).state_dict(), folder / "pytorch_model.bin")
    same = encoder(folder, allow_pickle=True).get_input_embeddings()
    assert torch.equal(same.codes, encoder(tiny_base).get_input_embeddings().codes)
    with pytest.raises(BaseModelError, match="cannot be read"):
        encoder(folder)


def test_half_precision_checkpoints(tiny_base, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(tiny_base, folder)
    half = AutoModel.from_pretrained(tiny_base).to(torch.bfloat16)
    half.save_pretrained(folder)
    codes, _ = quantised(half.get_input_embeddings().weight.detach())
    assert torch.equal(encoder(folder).get_input_embeddings().codes, codes)


def test_a_checkpoint_without_a_table(tiny_base, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "without"
    shutil.copytree(tiny_base, folder)
    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if "word_embeddings" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=r"no tensor of input embeddings .*quantization: none"):
        encoder(folder)


def test_transformers_is_left_as_it_was(tiny_base, tmp_path):
    before = dict(AUTO_QUANTIZER_MAPPING)
    encoder(tiny_base)
    shutil.copytree(tiny_base, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(BaseModelError, match="cannot be read"):
        encoder(tmp_path)
    assert before == AUTO_QUANTIZER_MAPPING


def test_a_tied_decoder_reads_the_same_codes(tiny_base, tmp_path):
    torch.manual_seed(0)
    full = AutoModelForMaskedLM.from_pretrained(tiny_base)
    # biases are zero in a fresh head
    torch.nn.init.normal_(full.get_output_embeddings().bias)
    shutil.copytree(tiny_base, tmp_path, dirs_exist_ok=True)
    full.save_pretrained(tmp_path)
    base = Base(name="base", quantization="8bit")
    _, small = model.load_encoder(located(tmp_path), base, CPU, masked_lm=True)
    decoder = small.get_output_embeddings()
    assert isinstance(decoder, Int8Decoder)
    assert decoder.embedding is small.get_input_embeddings()
    assert torch.equal(decoder.bias, full.get_output_embeddings().bias)
    ids = torch.tensor([[2, 30, 40, 50, 3]])
    with torch.inference_mode():
        expected, found = full(ids).logits, small(ids).logits
    assert found.shape == expected.shape
    assert functional_cosine(found, expected) > 0.99


def functional_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))
