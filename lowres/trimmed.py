"""A table of the embeddings that a study needs, in place of the base's whole one.

Ids stay those of the base's tokenizer: text, adapters and files know nothing of it. What is kept is
chosen by `trim.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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

    An id without a row reads as the unknown piece; `Unread` counts them.
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
        self._place: torch.Tensor

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[...] ids of the whole table to [..., hidden] vectors."""
        found = self._place[input_ids]
        vectors: torch.Tensor = self.kept(found.masked_fill(found < 0, self._unknown))
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


class Unread:
    """Counts the pieces of a text that a trimmed table has no row for."""

    def __init__(
        self, table: TrimmedEmbedding, first_new: int | None, special: Iterable[int]
    ) -> None:
        """Take what is needed from the table.

        Args:
            table: of the model that reads the text.
            first_new: the id from which on pieces have rows of their own beside it.
            special: ids that are no pieces of a text.
        """
        ids = torch.arange(table.num_embeddings, device=table.weight.device)
        self._without = (table.places(ids) < 0).cpu().numpy()
        if first_new is not None:
            self._without[first_new:] = False
        self._special = np.array(sorted(special), dtype=np.int64)
        self.pieces = 0
        self.missed: Counter[int] = Counter()

    def add(self, windows: Iterable[Sequence[int]]) -> None:
        """Count these windows' ids."""
        none = np.zeros(0, dtype=np.int64)
        ids = np.concatenate([none, *(np.asarray(row, dtype=np.int64) for row in windows)])
        ids = ids[~np.isin(ids, self._special)]
        self.pieces += len(ids)
        ids = ids[ids < len(self._without)]
        self.missed.update(ids[self._without[ids]].tolist())

    def notes(self, name_of: Callable[[int], str]) -> list[str]:
        """What to tell of it, `name_of` giving the piece of an id; empty where all had a row."""
        if not self.missed:
            return []
        often = sorted(self.missed, key=lambda i: (-self.missed[i], i))
        named = ", ".join(repr(name_of(i)) for i in often[:NAMED])
        more = ", …" if len(often) > NAMED else ""
        count = self.missed.total()
        return [
            f"{count:,} of {self.pieces:,} pieces of the text ({count / self.pieces:.1%}) have no "
            f"row in the trimmed table and were read as unknown, {len(often):,} different ones "
            f"({named}{more}): leave --trimmed out, or name such text in tokenizer.trim.keep_text"
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
