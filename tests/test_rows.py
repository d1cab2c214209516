from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModel

from lowres import rows
from lowres.errors import RunError

WIDTH, OLD, NEW = 8, 20, 6


def table(count: int = OLD, padding: int | None = None) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(count, WIDTH, padding_idx=padding)


def new_rows(count: int = NEW) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))


def resized(base: nn.Embedding, values: torch.Tensor, first_id: int) -> nn.Embedding:
    """What a table with the new rows inside it would look like."""
    weight = torch.zeros(max(len(base.weight), first_id + len(values)), WIDTH)
    weight[: len(base.weight)] = base.weight.detach().float()
    weight[first_id : first_id + len(values)] = values
    return nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=base.padding_idx)


@pytest.mark.parametrize("spare", [0, 2, NEW, NEW + 4], ids="{} spare rows".format)
@given(data=st.data())
def test_lookups_are_those_of_a_resized_table(spare, data):
    """e5-small has 35 rows more than pieces: new ids begin inside the table."""
    base = table(OLD + spare, padding=1)
    extended = rows.ExtendedEmbedding(base, new_rows(), OLD)
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    drawn = data.draw(
        st.lists(
            st.integers(0, OLD + NEW - 1),
            min_size=shape[0] * shape[1],
            max_size=shape[0] * shape[1],
        )
    )
    ids = torch.tensor(drawn).reshape(shape)
    expected = resized(base, new_rows(), OLD)(ids)
    assert torch.equal(extended(ids), expected)
    assert extended(ids).shape == (*shape, WIDTH)


def test_only_rows_get_gradients_and_those_of_a_resized_table():
    base = table(padding=1)
    base.requires_grad_(False)
    extended = rows.ExtendedEmbedding(base, new_rows(), OLD)
    extended.rows.requires_grad_(True)
    full = resized(base, new_rows(), OLD)
    ids = torch.tensor([[1, 4, OLD, OLD + 2], [OLD + 2, 0, OLD + 5, 1]])
    weights = torch.randn(2, 4, WIDTH)
    for module in (extended, full):
        (module(ids) * weights).sum().backward()
    assert base.weight.grad is None
    assert torch.equal(extended.rows.grad, full.weight.grad[OLD:])
    unused = [1, 3, 4]
    assert not extended.rows.grad[unused].any()


def test_rows_are_frozen_until_they_are_asked_to_learn():
    values = new_rows()
    extended = rows.ExtendedEmbedding(table(), values, OLD)
    assert not extended.rows.requires_grad
    values.zero_()
    assert extended.rows.abs().sum() > 0, "a copy, not the caller's tensor"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_in_half_precision_stays_so_and_rows_stay_float(dtype):
    base = table().to(dtype)
    extended = rows.ExtendedEmbedding(base, new_rows().to(dtype), OLD)
    extended.rows.requires_grad_(True)
    out = extended(torch.tensor([3, OLD + 1]))
    assert out.dtype == dtype
    assert torch.equal(out[0], base.weight[3])
    assert torch.equal(out[1], extended.rows[1].to(dtype))
    assert extended.rows.dtype == torch.float32
    out.float().sum().backward()
    assert extended.rows.grad.dtype == torch.float32


def test_the_table_is_the_bases_own():
    base = table()
    extended = rows.ExtendedEmbedding(base, new_rows(), OLD)
    assert extended.weight is base.weight
    assert extended.embedding_dim == WIDTH
    assert {name for name, _ in extended.named_parameters()} == {"rows", "base.weight"}


@pytest.mark.parametrize("spare", [0, 3])
def test_a_model_answers_as_one_whose_table_was_resized(tiny_base, spare):
    def loaded() -> torch.nn.Module:
        return AutoModel.from_pretrained(tiny_base).eval()

    plain, extended = loaded(), loaded()
    old = plain.config.vocab_size
    values = torch.randn(NEW, 32)
    plain.resize_token_embeddings(old + NEW, mean_resizing=False)
    plain.get_input_embeddings().weight.data[old:] = values
    if spare:
        extended.resize_token_embeddings(old + spare, mean_resizing=False)
    made = rows.extend(extended, values, old)
    assert rows.find(extended) is made
    assert rows.find(plain) is None
    ids = torch.tensor([[2, 40, old, old + 5, 3], [2, old + 1, 3, 0, 0]])
    with torch.no_grad():
        out = [m(input_ids=ids, attention_mask=ids.ne(0).long()) for m in (plain, extended)]
    assert torch.equal(out[0].last_hidden_state, out[1].last_hidden_state)


def test_rows_of_another_width_are_refused(tiny_base):
    model = AutoModel.from_pretrained(tiny_base)
    with pytest.raises(
        RunError, match=r"rows are \[6, 8\], expected \[pieces, 32\] .* another base"
    ):
        rows.extend(model, new_rows(), model.config.vocab_size)
    with pytest.raises(RunError, match=r"rows are \[32\]"):
        rows.extend(model, torch.zeros(32), model.config.vocab_size)
    assert rows.find(model) is None


def test_ids_that_begin_behind_the_table_are_refused(tiny_base):
    model = AutoModel.from_pretrained(tiny_base)
    count = model.config.vocab_size
    with pytest.raises(RunError, match=rf"start at {count + 1}, the base has {count} rows"):
        rows.extend(model, torch.zeros(2, 32), count + 1)


def test_rows_are_not_stacked_on_rows(tiny_base):
    model = AutoModel.from_pretrained(tiny_base)
    rows.extend(model, torch.zeros(2, 32), model.config.vocab_size)
    with pytest.raises(AssertionError, match="load the plain base"):
        rows.extend(model, torch.zeros(2, 32), model.config.vocab_size)
