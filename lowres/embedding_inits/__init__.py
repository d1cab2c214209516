"""Where the rows of new pieces start. One file adds one way; the name of the file is its name.

A file defines `NEEDS: tuple[str, ...]` (which of `lines`, `pairs`, `lexicon` of `Start` it cannot
do without) and `rows(start: Start) -> Started`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowres.alignment import Ids as Ids
from lowres.alignment import Pair as Pair


@dataclass(frozen=True)
class Start:
    """What a way of starting rows may use."""

    table: np.ndarray
    """[old ids or more, hidden] float32, the base's embeddings."""
    pieces: tuple[str, ...]
    """The new pieces, by id from `first_id` on."""
    first_id: int
    old: tuple[tuple[int, ...], ...]
    """The old ids that each new piece's text falls into."""
    unknown_id: int | None
    special_ids: frozenset[int] = frozenset()
    """Of the old tokenizer; no row is started from them."""
    lines: Sequence[Ids] = ()
    """Raw text."""
    pairs: Sequence[Sequence[Pair]] = ()
    """Parallel text, language by language: lines in the extended tokenizer's ids, translations in
    the old one's."""
    lexicon: Sequence[Sequence[Pair]] = ()
    """A word list, entry for entry, language by language."""
    seed: int = 0


@dataclass(frozen=True)
class Started:
    """Rows and where each came from."""

    values: np.ndarray
    """[new pieces, hidden] float32, finite."""
    provenance: tuple[str, ...]
    """One line a piece: the way, and what the row was made of."""


def matched_moments(start: Start, count: int) -> np.ndarray:
    """[count, hidden] normal draws with the mean and standard deviation of the used old rows."""
    rows = start.table[: start.first_id]
    norms = np.linalg.norm(rows, axis=1)
    used = rows[norms > 0]  # padding rows are zero
    generator = np.random.default_rng(start.seed)
    return generator.normal(used.mean(axis=0), used.std(axis=0), (count, rows.shape[1])).astype(
        np.float32
    )


def mixed(table: np.ndarray, ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of rows, as long as their mean norm: a plain mean of many is too short."""
    weights = weights / weights.sum()
    rows = table[ids]
    mean = weights @ rows
    norm = float(np.linalg.norm(mean))
    wanted = float(weights @ np.linalg.norm(rows, axis=1))
    row: np.ndarray = mean * (wanted / norm) if norm > 0 else mean
    return row.astype(np.float32)
