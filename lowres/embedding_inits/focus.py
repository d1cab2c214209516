"""A mix of the old pieces that a new one is used like: FOCUS (Dobler and de Melo 2023,
arXiv:2305.14481).

Static vectors of the text, cut by the extended tokenizer, say which old pieces of the same text
stand in the same places as a new one; sparsemax of the cosines are the weights of their rows.
"""

from __future__ import annotations

import numpy as np

from lowres.embedding_inits import Start, Started, _static, mean, mixed

NEEDS: tuple[str, ...] = ("lines",)
NAMED = 8
"""Pieces that a row's provenance names, the heaviest first."""


def rows(start: Start) -> Started:
    """Sparse mixes of old rows; `mean` for a piece that the text uses too rarely for a vector."""
    fallback = mean.rows(start)
    values, provenance = fallback.values.copy(), list(fallback.provenance)
    vectors = _static.train(start.lines, start.seed)
    old = overlap(start, vectors.ids)
    # a row of zeros says nothing and would shorten the mix
    old = old[np.linalg.norm(start.table[vectors.ids[old]], axis=1) > 0]
    first, last = start.first_id, start.first_id + len(start.pieces)
    new = np.flatnonzero((vectors.ids >= first) & (vectors.ids < last))
    if not len(old):
        return fallback
    for position in new:
        alike = vectors.unit[old] @ vectors.unit[position]
        weights = sparsemax(alike)
        chosen = np.flatnonzero(weights)
        ids = vectors.ids[old[chosen]]
        row = int(vectors.ids[position]) - first
        values[row] = mixed(start.table, ids, weights[chosen])
        provenance[row] = _line(ids, weights[chosen])
    return Started(values, tuple(provenance))


def overlap(start: Start, ids: np.ndarray) -> np.ndarray:
    """Positions in `ids` of the old pieces, specials and the unknown piece left out."""
    unknown = () if start.unknown_id is None else (start.unknown_id,)
    unfit = np.array(sorted({*start.special_ids, *unknown}), dtype=np.int64)
    is_old = (ids < start.first_id) & (ids < len(start.table))
    return np.flatnonzero(is_old & ~np.isin(ids, unfit))


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """The point of the simplex that is nearest to the scores (Martins and Astudillo 2016,
    arXiv:1602.02068): like softmax, but most weights are exactly zero."""
    falling = np.sort(scores)[::-1]
    sums = np.cumsum(falling)
    inside = 1 + np.arange(1, len(scores) + 1) * falling > sums
    size = int(inside.sum())
    threshold = (sums[size - 1] - 1) / size
    weights: np.ndarray = np.maximum(scores - threshold, 0)
    return weights


def _line(ids: np.ndarray, weights: np.ndarray) -> str:
    order = np.lexsort((ids, -weights))[:NAMED]
    made = " ".join(f"{ids[i]}:{weights[i]:.2f}" for i in order)
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"focus of {len(ids)}: {made}{more}"
