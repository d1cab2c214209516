"""The rows of what a piece is translated by: word alignment of a parallel text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lowres.alignment import align_each
from lowres.embedding_inits import Pair, Start, Started, mean, mixed

NEEDS: tuple[str, ...] = ("pairs",)
MOST_SOURCES = 8
"""Aligned pieces that a row is mixed of."""
LEAST_WEIGHT = 0.01
"""Weaker alignments are chance."""


def rows(start: Start) -> Started:
    """The weighted mean of the aligned pieces' rows; `mean` where nothing aligns."""
    return started(start, start.pairs)


def started(start: Start, languages: Sequence[Sequence[Pair]]) -> Started:
    """As `rows`, from these pairs, language by language."""
    fallback = mean.rows(start)
    values, provenance = fallback.values.copy(), list(fallback.provenance)
    found = align_each(languages)
    bounds = np.searchsorted(
        found.target, np.arange(start.first_id, start.first_id + len(start.pieces) + 1)
    )
    special = np.array(sorted(start.special_ids), dtype=np.int64)
    for index, (low, high) in enumerate(pairwise(bounds)):
        ids, weights = found.pivot[low:high], found.weight[low:high]
        fit = (weights >= LEAST_WEIGHT) & ~np.isin(ids, special) & (ids < len(start.table))
        ids, weights = ids[fit][:MOST_SOURCES], weights[fit][:MOST_SOURCES]
        if len(ids):
            values[index] = mixed(start.table, ids, weights)
            made = " ".join(f"{i}:{w:.2f}" for i, w in zip(ids, weights, strict=True))
            provenance[index] = f"align of {len(ids)}: {made}"
    return Started(values, tuple(provenance))
