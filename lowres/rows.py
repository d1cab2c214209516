"""New embedding rows beside a frozen table.

The table of the base is never copied, cast or resized: ids from `first_id` on are looked up in a
small parameter of their own. peft's `trainable_token_indices` copies the whole table at each pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lowres.errors import RunError


class ExtendedEmbedding(nn.Module):
    """A frozen table [old, hidden] and new rows [new, hidden]; ids from `first_id` are new.

    `base` may be quantised or in half precision: what comes out has its type.
    """

    def __init__(self, base: nn.Module, rows: torch.Tensor, first_id: int) -> None:
        super().__init__()
        self.base = base
        self.first_id = first_id
        self.rows = nn.Parameter(rows.detach().clone().to(torch.float32), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[...] ids to [..., hidden] vectors."""
        new = input_ids >= self.first_id
        # any old id will do where the row is replaced; the first new one lies in the table or not
        known: torch.Tensor = self.base(input_ids.masked_fill(new, 0))
        rows = functional.embedding((input_ids - self.first_id).clamp(min=0), self.rows)
        return torch.where(new.unsqueeze(-1), rows.to(known.dtype), known)

    @property
    def weight(self) -> torch.Tensor:
        """The frozen table (what reads its type or its size)."""
        weight: Any = self.base.weight
        return weight  # type: ignore[no-any-return]

    @property
    def embedding_dim(self) -> int:
        """Width of a row."""
        return int(self.rows.shape[1])


def extend(model: Any, rows: torch.Tensor, first_id: int) -> ExtendedEmbedding:
    """Give a model new rows in place.

    Raises `RunError` for rows of another base: of another width, or behind ids it never had.
    """
    base = model.get_input_embeddings()
    assert not isinstance(base, ExtendedEmbedding), "load the plain base: this one has rows"
    count, width = base.num_embeddings, base.embedding_dim
    if rows.ndim != 2 or rows.shape[1] != width:
        raise RunError(
            f"the new pieces' rows are {list(rows.shape)}, expected [pieces, {width}] as the base "
            "has them: they are of another base; extend or adapt this one"
        )
    if first_id > count:
        raise RunError(
            f"the new pieces' ids start at {first_id}, the base has {count} rows: they are of "
            "another base; extend or adapt this one"
        )
    extended = ExtendedEmbedding(base, rows.to(base.weight.device), first_id)
    model.set_input_embeddings(extended)
    return extended


def find(model: Any) -> ExtendedEmbedding | None:
    """The extended embedding of a model, wrapped by peft or not; None without one."""
    return next((m for m in model.modules() if isinstance(m, ExtendedEmbedding)), None)
