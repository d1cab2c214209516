from __future__ import annotations

import pytest
import torch
from tiny_study import EXTRAS
from torch.nn import functional
from transformers import AutoConfig, AutoModelForMaskedLM

from lowres import rows as new_rows
from lowres.errors import BaseModelError
from lowres.int8 import FloatTable
from lowres.objectives import _vocabulary

ARCHITECTURES = (
    "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "ernie", "eurobert",
    "gte", "megatron-bert", "modernbert", "mpnet", "nomic_bert", "rembert", "roberta",
    "xlm-roberta",
)  # fmt: skip


def tiny_model(architecture, vocabulary=50, **more):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 24, "max_position_embeddings": 40, "embedding_size": 12,
             "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 1, "bos_token_id": 0,
             "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}  # fmt: skip
    config = AutoConfig.for_model(
        architecture, vocab_size=vocabulary, **{**sizes, **EXTRAS.get(architecture, {}), **more}
    )
    torch.manual_seed(0)
    full = AutoModelForMaskedLM.from_config(config).eval()
    decoder = full.get_output_embeddings()
    if decoder.bias is not None:
        torch.nn.init.normal_(decoder.bias)
    return full


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_those_of_the_full_model(architecture):
    full = tiny_model(architecture)
    head = _vocabulary.Head(full, None, 50)
    ids = torch.randint(3, 50, (2, 7))
    with torch.no_grad():
        states = full.base_model(input_ids=ids).last_hidden_state
        expected = full(input_ids=ids).logits
        torch.testing.assert_close(head.logits(states[0]), expected[0])
        # the model that the head was taken from is as it was
        assert torch.equal(full(input_ids=ids).logits, expected)
        answers = torch.randint(0, 50, (7,))
        losses = functional.cross_entropy(expected[0], answers, reduction="none")
        torch.testing.assert_close(head.losses(states[0], answers), losses)


@pytest.mark.parametrize("spare", [0, 3, 9])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "bert", "modernbert", "distilbert"])
def test_logits_of_new_pieces_are_those_of_a_resized_model(architecture, spare):
    """Rows of the table that no piece has (e5-small) take no part."""
    full, resized = (tiny_model(architecture, 50 + spare) for _ in range(2))
    values = torch.randn(6, 16)
    resized.resize_token_embeddings(56, mean_resizing=False)
    with torch.no_grad():
        resized.get_input_embeddings().weight[50:] = values
        bias = resized.get_output_embeddings().bias
        if bias is not None:
            bias[50:] = 0
    extended = new_rows.extend(full, values, 50)
    head = _vocabulary.Head(full, extended, 50)
    ids = torch.randint(3, 56, (3, 9))
    with torch.no_grad():
        states = full.base_model(input_ids=ids).last_hidden_state.flatten(0, 1)
        expected = resized(input_ids=ids).logits.flatten(0, 1)
        found = head.logits(states)
    assert found.shape == (27, 56)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("new", [0, 5])
def test_losses_and_gradients_in_blocks_are_those_of_all_logits(monkeypatch, kind, bias, new):
    monkeypatch.setattr(_vocabulary, "block_rows", lambda positions: 7)
    torch.manual_seed(0)
    table, biases = torch.randn(40, 8) * 3, torch.randn(40) if bias else None
    answers = torch.randint(0, 40 + new, (30,))

    def leaves():
        generator = torch.Generator().manual_seed(1)
        made = [torch.randn(n, 8, generator=generator).requires_grad_() for n in (30, new)]
        return made[0], made[1]

    states, rows = leaves()
    found = _vocabulary._Losses.apply(states, rows, FloatTable(table), biases, answers, kind, True)
    weights = torch.randn(30)
    (found * weights).sum().backward()
    plain_states, plain_rows = leaves()
    logits = torch.cat([plain_states @ table.T, plain_states @ plain_rows.T], dim=1)
    if biases is not None:
        logits = logits + functional.pad(biases, (0, new))
    expected = functional.cross_entropy(logits, answers, reduction="none")
    (expected * weights).sum().backward()
    near = {"rtol": 1e-4, "atol": 1e-4} if kind is torch.float32 else {"rtol": 0.05, "atol": 0.5}
    torch.testing.assert_close(found, expected, **near)
    torch.testing.assert_close(states.grad, plain_states.grad, **near)
    if new:
        torch.testing.assert_close(rows.grad, plain_rows.grad, **near)
    assert found.dtype == torch.float32


def test_losses_do_not_overflow():
    table = torch.tensor([[300.0], [-300.0]])
    states = torch.tensor([[10.0], [-10.0]])
    rows, answers = torch.zeros(0, 1), torch.tensor([0, 0])
    found = _vocabulary._Losses.apply(
        states, rows, FloatTable(table), None, answers, torch.float32, False
    )
    assert found.tolist() == [0.0, 6000.0]


def test_new_pieces_need_a_tied_decoder():
    full = tiny_model("bert", tie_word_embeddings=False)
    _vocabulary.Head(full, None, 50)
    extended = new_rows.extend(full, torch.randn(2, 16), 50)
    with pytest.raises(BaseModelError, match=r"not tied.*align, or leave tokenizer\.extend out"):
        _vocabulary.Head(full, extended, 50)
