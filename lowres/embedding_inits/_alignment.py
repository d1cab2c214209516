"""Word alignment by IBM model 1 (Brown et al. 1993, aclanthology.org/J93-2003), both ways at once.

The two directions agree on what they align (Liang et al. 2006, aclanthology.org/N06-1014): the
weight of a pair is the product of both probabilities. All in numpy over the pairs of tokens that
meet in a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowres.embedding_inits import Pair

ITERATIONS = 6
MOST_LINES = 20_000
"""Lines used; memory grows with the product of both lengths, about 20 MB a thousand lines."""
LONGEST = 200
"""Longer lines are left out: everything meets everything in them."""


@dataclass(frozen=True)
class Alignment:
    """Pairs of token types with their weight, sorted by target id and falling weight."""

    target: np.ndarray
    pivot: np.ndarray
    weight: np.ndarray


def align(pairs: Sequence[Pair], iterations: int = ITERATIONS) -> Alignment:
    """Align every target token type with pivot token types.

    Args:
        pairs: lines as (target ids, pivot ids); no more than `MOST_LINES` are used.
        iterations: of expectation maximisation.
    """
    meets = _meetings(pairs)
    if not len(meets.pair):
        empty = np.zeros(0, dtype=np.int64)
        return Alignment(empty, empty, np.zeros(0))
    forward = _train(meets.pair, meets.target_of, meets.pivot_token, iterations)
    backward = _train(meets.pair, meets.pivot_of, meets.target_token, iterations)
    weight = forward * backward
    order = np.lexsort((meets.pivot_type, -weight, meets.target_type))
    return Alignment(meets.target_type[order], meets.pivot_type[order], weight[order])


@dataclass(frozen=True)
class _Meetings:
    """One entry for each target token and pivot token in the same line."""

    pair: np.ndarray
    """Index of the pair of types."""
    target_token: np.ndarray
    pivot_token: np.ndarray
    """Running number of the token in the text."""
    target_type: np.ndarray
    pivot_type: np.ndarray
    """Of each pair of types."""
    target_of: np.ndarray
    pivot_of: np.ndarray
    """Of each pair of types: compact number of its target type, of its pivot type."""


def _meetings(pairs: Sequence[Pair]) -> _Meetings:
    kept = [(t, p) for t, p in pairs if 0 < len(t) <= LONGEST and 0 < len(p) <= LONGEST]
    kept = kept[:MOST_LINES]
    targets, pivots, target_tokens, pivot_tokens = [], [], [], []
    at_target = at_pivot = 0
    for target, pivot in kept:
        targets.append(np.repeat(target, len(pivot)))
        pivots.append(np.tile(pivot, len(target)))
        target_tokens.append(np.repeat(np.arange(len(target)) + at_target, len(pivot)))
        pivot_tokens.append(np.tile(np.arange(len(pivot)) + at_pivot, len(target)))
        at_target += len(target)
        at_pivot += len(pivot)
    none = [np.zeros(0, dtype=np.int64)]
    target, pivot = np.concatenate(targets or none), np.concatenate(pivots or none)
    width = int(pivot.max(initial=0)) + 1
    types, pair = np.unique(target * width + pivot, return_inverse=True)
    target_type, pivot_type = types // width, types % width
    return _Meetings(
        pair=pair,
        target_token=np.concatenate(target_tokens or none),
        pivot_token=np.concatenate(pivot_tokens or none),
        target_type=target_type,
        pivot_type=pivot_type,
        target_of=np.unique(target_type, return_inverse=True)[1],
        pivot_of=np.unique(pivot_type, return_inverse=True)[1],
    )


def _train(
    pair: np.ndarray, condition: np.ndarray, explained: np.ndarray, iterations: int
) -> np.ndarray:
    """P(other type | conditioning type) of each pair of types.

    Every token of the explained side is explained by one token of the other side in its line, or
    by nothing (a constant share, so that function words need not align).
    """
    meeting = np.bincount(pair).astype(np.float64)
    probability: np.ndarray = meeting / np.bincount(condition, weights=meeting)[condition]
    nothing = float(np.median(probability)) / 2
    for _ in range(iterations):
        each = probability[pair]
        explains = each / (np.bincount(explained, weights=each)[explained] + nothing)
        counts = np.bincount(pair, weights=explains, minlength=len(probability))
        probability = counts / np.maximum(np.bincount(condition, weights=counts)[condition], 1e-12)
    return probability
