"""An embedding table in int8: a row's codes, and one float32 scale for it.

In XLM-R-base 192 of 278 million parameters are embeddings, and bitsandbytes leaves them in float:
8-bit linear layers alone save little. Its own `Embedding8bit` needs the whole table in float
before it quantises, and has no decoder; here a table is read from its file block by block, and a
tied masked-LM head works from the same codes.

Codes are `round(127 x / max|row|)`, the row-wise absmax of LLM.int8() (arXiv:2208.07339).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

BLOCK_ROWS = 1024
"""Rows that exist in float at one time, while a table is read or its logits are made."""
_LARGEST = 127.0


class Table(Protocol):
    """Rows of a masked-LM decoder, however they are held."""

    dtype: torch.dtype
    """Of the rows that `at` gives."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> Table:
        """The first rows, not copied."""

    def at(self, places: slice | torch.Tensor) -> torch.Tensor:
        """Some rows, [places, width] in float."""


class FloatTable:
    """A table [rows, width] that is held in float."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.dtype = values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def first(self, count: int) -> FloatTable:
        """See `Table`."""
        return FloatTable(self.values[:count])

    def at(self, places: slice | torch.Tensor) -> torch.Tensor:
        """See `Table`."""
        return self.values[places]


class Int8Table:
    """A table as codes [rows, width] in int8 and scales [rows] in float32."""

    def __init__(self, codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> None:
        self.codes = codes
        self.scales = scales
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.codes)

    def first(self, count: int) -> Int8Table:
        """See `Table`."""
        return Int8Table(self.codes[:count], self.scales[:count], self.dtype)

    def at(self, places: slice | torch.Tensor) -> torch.Tensor:
        """See `Table`."""
        return dequantised(self.codes[places], self.scales[places], self.dtype)


def quantised(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [rows, width] int8 and scales [rows] float32 of float rows."""
    rows = rows.float()
    scales = rows.abs().amax(dim=1) / _LARGEST
    codes = (rows / scales.clamp(min=torch.finfo(torch.float32).tiny).unsqueeze(1)).round_()
    return codes.to(torch.int8), scales


def dequantised(codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Codes [..., width] and scales [...] to rows in float."""
    return (codes * scales.unsqueeze(-1)).to(dtype)


class Int8Embedding(nn.Module):
    """A frozen table [rows, hidden] in int8, looked up a row at a time.

    Its tensors are no parameters: nothing trains, saves or casts them with the model's own.
    """

    def __init__(self, codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.codes: torch.Tensor
        self.scales: torch.Tensor

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[...] ids to [..., hidden] vectors of type `dtype`."""
        codes = functional.embedding(input_ids, self.codes)
        return dequantised(codes, self.scales[input_ids], self.dtype)

    def fill(self, blocks: Iterator[torch.Tensor]) -> None:
        """Quantise float rows into the table, from its first row on."""
        start = 0
        for block in blocks:
            codes, scales = quantised(block)
            self.codes[start : start + len(block)] = codes.to(self.codes.device)
            self.scales[start : start + len(block)] = scales.to(self.scales.device)
            start += len(block)
        assert start == len(self.codes), f"{start} rows for a table of {len(self.codes)}"

    def chosen(self, ids: torch.Tensor) -> Int8Embedding:
        """A table of some of the rows."""
        return Int8Embedding(self.codes[ids], self.scales[ids], self.dtype)

    @property
    def table(self) -> Int8Table:
        """The rows, as a decoder reads them."""
        return Int8Table(self.codes, self.scales, self.dtype)

    @property
    def weight(self) -> torch.Tensor:
        """The codes (what reads a table's size or device)."""
        return self.codes

    @property
    def num_embeddings(self) -> int:
        """Rows."""
        return len(self.codes)

    @property
    def embedding_dim(self) -> int:
        """Width of a row."""
        return int(self.codes.shape[1])


class Int8Decoder(nn.Module):
    """The decoder of a masked-LM head that is tied to a table in int8."""

    def __init__(self, embedding: Int8Embedding, bias: nn.Parameter | None) -> None:
        super().__init__()
        # in a tuple: a module of its own it is elsewhere
        self._tied = (embedding,)
        self.register_parameter("bias", bias)
        self.bias: nn.Parameter | None

    @property
    def embedding(self) -> Int8Embedding:
        """Whose rows it has."""
        return self._tied[0]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., width] to logits [..., rows]; the table is never whole in float."""
        table = self.embedding.table
        blocks = []
        for start in range(0, len(table), BLOCK_ROWS):
            rows = table.at(slice(start, start + BLOCK_ROWS)).to(states.dtype)
            some = None if self.bias is None else self.bias[start : start + BLOCK_ROWS]
            blocks.append(functional.linear(states, rows, some))
        return torch.cat(blocks, dim=-1)


def table_of(decoder: Any) -> Table:
    """The rows of a masked-LM decoder, linear or in int8."""
    if isinstance(decoder, Int8Decoder):
        return decoder.embedding.table
    return FloatTable(decoder.weight.detach())
