"""A table of the embeddings that a study needs, in place of the base's whole one.

Ids stay those of the base's tokenizer: text, adapters and files know nothing of it. What is kept is
chosen by `trim.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lowres.errors import RunError
from lowres.int8 import Int8Decoder, Int8Embedding

FILE = "kept.json"
NAMED = 5
"""Pieces that a warning names."""


@dataclass(frozen=True)
class Kept:
    """Which rows of a table are kept."""

    ids: np.ndarray
    """Sorted, int64; 0 and `unknown_id` are always among them."""
    rows: int
    """Of the whole table."""
    unknown_id: int
    """Whose row an id without one gets."""


class TrimmedEmbedding(nn.Module):
    """Rows [kept, hidden] of a frozen table, looked up by the ids of the whole one.

    An id without a row reads as the unknown piece and is counted, see `notes`. It need not leave
    the device for that.
    """

    def __init__(self, whole: Any, kept: Kept) -> None:
        super().__init__()
        device = whole.weight.device
        ids = torch.from_numpy(kept.ids).to(device)
        self.kept: Any
        if isinstance(whole, Int8Embedding):
            self.kept = whole.chosen(ids)
        else:
            self.kept = nn.Embedding.from_pretrained(whole.weight.detach()[ids], freeze=True)
        place = torch.full((kept.rows,), -1, dtype=torch.int32, device=device)
        place[ids] = torch.arange(len(ids), dtype=torch.int32, device=device)
        self._unknown = int(np.searchsorted(kept.ids, kept.unknown_id))
        self.register_buffer("_place", place, persistent=False)
        self.register_buffer("_missed", torch.zeros_like(place), persistent=False)
        self._place: torch.Tensor
        self._missed: torch.Tensor

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[...] ids of the whole table to [..., hidden] vectors."""
        found = self._place[input_ids]
        missing = found < 0
        self._missed.scatter_add_(0, input_ids.flatten(), missing.flatten().int())
        vectors: torch.Tensor = self.kept(found.masked_fill(missing, self._unknown))
        return vectors

    def places(self, ids: torch.Tensor, first_new: int | None = None) -> torch.Tensor:
        """Rows of `weight`, and of a trimmed masked-LM head, by id; -1 where there is none.

        Ids from `first_new` on are new pieces: their rows follow the kept ones.
        """
        if first_new is None:
            return self._place[ids].long()
        new = ids >= first_new
        old = self._place[ids.masked_fill(new, 0)].long()
        return torch.where(new, ids - first_new + len(self.weight), old)

    def missed(self) -> dict[int, int]:
        """How often each id without a row was looked up."""
        ids = self._missed.nonzero().flatten()
        return dict(zip(ids.tolist(), self._missed[ids].tolist(), strict=True))

    @property
    def weight(self) -> Any:
        """The kept rows, in float or as codes."""
        return self.kept.weight

    @property
    def num_embeddings(self) -> int:
        """Ids that there are, with a row or without."""
        return len(self._place)

    @property
    def embedding_dim(self) -> int:
        """Width of a row."""
        return int(self.weight.shape[1])


def apply(model: Any, kept: Kept) -> TrimmedEmbedding:
    """Trim a model in place: its input embeddings and, if it has one, its masked-LM head.

    The head's logits are then those of the kept pieces, in the order of `Kept.ids`. Comes before
    `rows.extend`. Raises `RunError` when the ids are of another base.
    """
    whole = model.get_input_embeddings()
    count = len(whole.weight)
    if count != kept.rows:
        raise RunError(
            f"{FILE}: chosen for a base of {kept.rows} rows, this one has {count}; run the recipe "
            "again for this base"
        )
    small = TrimmedEmbedding(whole, kept)
    head = model.get_output_embeddings()
    if isinstance(head, Int8Decoder):
        ids = torch.from_numpy(kept.ids).to(whole.weight.device)
        bias = None if head.bias is None else _rows(head.bias, ids)
        model.set_output_embeddings(Int8Decoder(small.kept, bias))
    elif isinstance(head, nn.Linear):
        _trim_head(model, head, whole, small, kept)
    model.set_input_embeddings(small)
    if small.weight.is_cuda:
        torch.cuda.empty_cache()
    return small


def _trim_head(
    model: Any, head: nn.Linear, whole: Any, small: TrimmedEmbedding, kept: Kept
) -> None:
    ids = torch.from_numpy(kept.ids).to(head.weight.device)
    tied = head.weight.data_ptr() == whole.weight.data_ptr()
    with torch.device("meta"):
        fewer = nn.Linear(head.in_features, len(ids), bias=head.bias is not None)
    fewer.weight = small.weight if tied else _rows(head.weight, ids)
    if head.bias is not None:
        fewer.bias = _rows(head.bias, ids)
    model.set_output_embeddings(fewer)


def _rows(values: torch.Tensor, ids: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach()[ids], requires_grad=False)


def find(model: Any) -> TrimmedEmbedding | None:
    """The trimmed table of a model, whatever is wrapped around it; None without one."""
    return next((m for m in model.modules() if isinstance(m, TrimmedEmbedding)), None)


def notes(model: Any, name_of: Callable[[int], str]) -> list[str]:
    """A warning where text held pieces whose rows were trimmed away; empty where all had one.

    Args:
        model: with a trimmed table or without.
        name_of: the piece of an id.
    """
    table = find(model)
    missed = table.missed() if table is not None else {}
    if not missed:
        return []
    often = sorted(missed, key=lambda i: (-missed[i], i))
    named = ", ".join(repr(name_of(i)) for i in often[:NAMED])
    more = ", …" if len(often) > NAMED else ""
    return [
        f"tokenizer.trim: {sum(missed.values())} pieces of the text had no row and were read as "
        f"unknown, {len(often)} different ones ({named}{more}); name such text in "
        "tokenizer.trim.keep_text, or leave tokenizer.trim out"
    ]


def write(file: Path, kept: Kept) -> None:
    """Write which rows are kept."""
    plain = {"rows": kept.rows, "unknown_id": kept.unknown_id, "ids": kept.ids.tolist()}
    file.write_text(json.dumps(plain) + "\n", encoding="utf-8")


def read(file: Path) -> Kept:
    """What `write` wrote. Raises `RunError` for anything else."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        ids = np.asarray(plain["ids"], dtype=np.int64)
        kept = Kept(ids, int(plain["rows"]), int(plain["unknown_id"]))
        sound = (np.diff(ids) > 0).all() and {0, kept.unknown_id} <= set(ids.tolist())
        if not sound or ids[-1] >= kept.rows:
            raise ValueError("the ids are not sorted, or none of this table")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{file}: cannot be read ({error}); run the recipe again") from error
    return kept
