from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lowres import int8
from lowres.int8 import FloatTable, Int8Decoder, Int8Embedding

ROWS, WIDTH = 23, 8


def embedding(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, Int8Embedding]:
    torch.manual_seed(0)
    rows = torch.randn(ROWS, WIDTH) * torch.logspace(-3, 3, ROWS).unsqueeze(1)
    rows[7] = 0
    return rows, Int8Embedding(*int8.quantised(rows), dtype)


@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4), min_size=1, max_size=5
    )
)
def test_no_value_is_off_by_more_than_half_a_step(rows):
    values = torch.tensor(rows)
    codes, scales = int8.quantised(values)
    assert codes.dtype == torch.int8
    found = int8.dequantised(codes, scales, torch.float32)
    steps = values.abs().amax(dim=1, keepdim=True) / 127
    assert ((found - values).abs() <= steps * 0.5001 + 1e-30).all()


def test_looked_up_rows_are_those_of_the_table():
    rows, small = embedding()
    ids = torch.tensor([[0, 7, 22], [3, 3, 1]])
    assert torch.equal(small(ids), small.table.at(slice(None))[ids])
    torch.testing.assert_close(small(ids), rows[ids], rtol=0.02, atol=0.02 * 1e3)
    assert not small(torch.tensor([7])).any()  # a row of zeros stays one
    assert (small.num_embeddings, small.embedding_dim) == (ROWS, WIDTH)


def test_nothing_of_it_trains_is_saved_or_is_cast():
    _, small = embedding(torch.bfloat16)
    assert not list(small.parameters())
    assert not small.state_dict()
    small.to(torch.float32)
    assert small.codes.dtype == torch.int8
    assert small(torch.tensor([1])).dtype == torch.bfloat16


def test_a_table_is_filled_by_blocks():
    rows, whole = embedding()
    small = Int8Embedding(torch.empty_like(whole.codes), torch.empty(ROWS), torch.float32)
    small.fill(iter(rows.split(5)))
    assert torch.equal(small.codes, whole.codes)
    assert torch.equal(small.scales, whole.scales)
    with pytest.raises(AssertionError, match="20 rows for a table of 23"):
        small.fill(iter(rows[:20].split(5)))


@pytest.mark.parametrize("bias", [True, False])
def test_a_decoder_works_block_by_block(monkeypatch, bias):
    monkeypatch.setattr(int8, "BLOCK_ROWS", 5)
    _, small = embedding()
    biases = torch.nn.Parameter(torch.randn(ROWS)) if bias else None
    states = torch.randn(2, 3, WIDTH)
    found = Int8Decoder(small, biases)(states)
    expected = functional.linear(states, small.table.at(slice(None)), biases)
    torch.testing.assert_close(found, expected)


def test_a_decoder_holds_no_second_table():
    _, small = embedding()
    decoder = Int8Decoder(small, None)
    assert not list(decoder.modules())[1:]
    assert int8.table_of(decoder).first(3).at(slice(None)).shape == (3, WIDTH)


def test_tables_in_float_and_in_int8_are_read_alike():
    rows, small = embedding()
    plain = FloatTable(rows)
    assert len(plain) == len(small.table) == ROWS
    places = torch.tensor([4, 0])
    for table in (plain, small.table):
        assert table.at(places).shape == (2, WIDTH)
        assert len(table.first(4)) == 4
        assert torch.equal(table.first(6).at(places), table.at(places))
        assert table.at(slice(0, 0)).shape == (0, WIDTH)
