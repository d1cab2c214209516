from __future__ import annotations

import pytest
import tiny_study
import torch
from tiny_study import CPU

from lowres import bases, blocks, lora, model
from lowres.architectures import ARCHITECTURES
from lowres.errors import BaseModelError

ONE_BLOCK_FOR_ALL = ("albert",)
# transformers builds these from configs with more to them than tiny_study gives
LEFT_OUT = ("gte", "nomic_bert", "xlm-roberta-xl", "rembert", "megatron-bert", "ernie")
BUILT = [kind for kind in ARCHITECTURES if kind not in (*LEFT_OUT, *ONE_BLOCK_FOR_ALL)]


def network(kind, tokenizer, folder, layers="all"):
    base = tiny_study.base(kind, tokenizer, folder / kind)
    study = tiny_study.recipe(base, lora={"layers": layers})
    known = (bases.locate(str(base)), study.base, study.task, ("a", "b"), CPU)
    plain = model.load_base(*known)
    return plain, lambda: lora.attach(plain, study.lora, study.task, kind)


@pytest.mark.parametrize("kind", BUILT)
def test_lora_on_the_highest_layer_leaves_the_lowest_frozen(kind, tiny_tokenizer, tmp_path):
    plain, attach = network(kind, tiny_tokenizer, tmp_path, "top:1")
    assert len(blocks.find(plain)) == 2
    wrapped = attach()
    assert blocks.frozen(wrapped) == 1
    low, high = blocks.find(wrapped)
    assert not any(hasattr(module, "lora_A") for module in low.modules())
    assert any(hasattr(module, "lora_A") for module in high.modules())


def test_lora_on_all_layers_leaves_none(tiny_tokenizer, tmp_path):
    assert blocks.frozen(network("bert", tiny_tokenizer, tmp_path)[1]()) == 0
    assert blocks.frozen(network("bert", tiny_tokenizer, tmp_path, "top:2")[1]()) == 0


def test_trained_embeddings_leave_nothing_frozen_above_them(tiny_tokenizer, tmp_path):
    wrapped = network("bert", tiny_tokenizer, tmp_path, "top:1")[1]()
    table = blocks.encoder_of(wrapped).get_input_embeddings().weight
    table.requires_grad_(True)
    assert blocks.frozen(wrapped) == 0
    table.requires_grad_(False)
    next(iter(blocks.find(wrapped)[0].parameters())).requires_grad_(True)
    assert blocks.frozen(wrapped) == 0
    assert torch.is_tensor(table)


@pytest.mark.parametrize(
    ("kind", "layers", "says"),
    [
        ("bert", "top:3", r"lora\.layers: top:3, but bert has 2 layers; set lora\.layers: all, or"),
        ("albert", "top:1", r"lora\.layers: the layers of albert share their weights .* all"),
    ],
)
def test_layers_that_are_not_there(kind, layers, says, tiny_tokenizer, tmp_path):
    with pytest.raises(BaseModelError, match=says):
        network(kind, tiny_tokenizer, tmp_path, layers)[1]()
