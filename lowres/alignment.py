"""Word alignment by IBM model 1 (Brown et al. 1993, aclanthology.org/J93-2003), both ways at once.

The two directions agree on what they align (Liang et al. 2006, aclanthology.org/N06-1014): the
weight of a pair is the product of both probabilities. All in numpy over the pairs of tokens that
meet in a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Ids = np.ndarray
"""Token ids of one line, int64."""
Pair = tuple[Ids, Ids]
"""A line, and its translation: ids of two vocabularies."""

ITERATIONS = 6
MOST_LINES = 20_000
"""Lines used; memory grows with the product of both lengths: about 100 MB a thousand lines of 55
tokens, of which a good extension saves half."""
MOST_MEETINGS = 40_000_000
"""Pairs of tokens that meet in a line, over all lines used: what memory goes by. Later lines are
left out; 20,000 lines of 44 tokens on both sides stay."""
LONGEST = 200
"""Longer lines are left out: everything meets everything in them."""
LINES_AT_ONCE = 500
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Alignment:
    """Pairs of token types with their weight, sorted by target id and falling weight."""

    target: np.ndarray
    pivot: np.ndarray
    weight: np.ndarray


def align(pairs: Sequence[Pair], iterations: int = ITERATIONS) -> Alignment:
    """Align every target token type with pivot token types.

    Args:
        pairs: lines as (target ids, pivot ids); no more than `MOST_LINES` are used, and than have
            `MOST_MEETINGS`.
        iterations: of expectation maximisation.
    """
    kept = [(t, p) for t, p in pairs if 0 < len(t) <= LONGEST and 0 < len(p) <= LONGEST]
    kept = kept[:MOST_LINES]
    if not kept:
        empty = np.zeros(0, dtype=np.int64)
        return Alignment(empty, empty, np.zeros(0))
    meeting = np.cumsum([len(target) * len(pivot) for target, pivot in kept])
    kept = kept[: max(1, int(np.searchsorted(meeting, MOST_MEETINGS, side="right")))]
    width = 1 + max(int(pivot.max()) for _, pivot in kept)
    parts = [kept[at : at + LINES_AT_ONCE] for at in range(0, len(kept), LINES_AT_ONCE)]
    types = np.unique(np.concatenate([np.unique(_keys(part, width)) for part in parts]))
    target, pivot = types // width, types % width
    meetings = [_meetings(part, width, types) for part in parts]
    forward = _train([(m.pair, m.pivot_token) for m in meetings], target, iterations)
    backward = _train([(m.pair, m.target_token) for m in meetings], pivot, iterations)
    weight = forward * backward
    order = np.lexsort((pivot, -weight, target))
    return Alignment(target[order], pivot[order], weight[order])


def align_each(languages: Sequence[Sequence[Pair]]) -> Alignment:
    """Each language by itself, as `align` does; a target type of several is the mean by tokens.

    Together they would share the probability of an English token among all their words for it.
    """
    if len(languages) == 1:
        return align(languages[0])
    tokens = [np.concatenate([*(t for t, _ in pairs), _NONE]) for pairs in languages]
    size = 1 + max((int(t.max()) for t in tokens if len(t)), default=0)
    counts = [np.bincount(t, minlength=size) for t in tokens]
    total = np.maximum(np.sum([*counts, np.zeros(size)], axis=0), 1)
    found = [align(pairs) for pairs in languages]
    target = np.concatenate([*(f.target for f in found), _NONE])
    pivot = np.concatenate([*(f.pivot for f in found), _NONE])
    weight = np.concatenate(
        [
            np.zeros(0),
            *(f.weight * (c / total)[f.target] for f, c in zip(found, counts, strict=True)),
        ]
    )
    width = 1 + int(pivot.max(initial=0))
    keys, place = np.unique(target * width + pivot, return_inverse=True)
    summed = np.bincount(place, weights=weight, minlength=len(keys))
    target, pivot = keys // width, keys % width
    order = np.lexsort((pivot, -summed, target))
    return Alignment(target[order], pivot[order], summed[order])


@dataclass(frozen=True)
class _Meetings:
    """One entry for each target token and pivot token in the same line, int32."""

    pair: np.ndarray
    """Index of the pair of types."""
    target_token: np.ndarray
    pivot_token: np.ndarray
    """Running number of the token in these lines."""


def _keys(pairs: Sequence[Pair], width: int) -> np.ndarray:
    """Both types of each meeting in one number."""
    return np.concatenate(
        [np.repeat(t * width, len(p)) + np.tile(p, len(t)) for t, p in pairs], dtype=np.int64
    )


def _meetings(pairs: Sequence[Pair], width: int, types: np.ndarray) -> _Meetings:
    target_tokens, pivot_tokens = [], []
    at_target = at_pivot = 0
    for target, pivot in pairs:
        numbers = np.arange(at_target, at_target + len(target), dtype=np.int32)
        target_tokens.append(np.repeat(numbers, len(pivot)))
        numbers = np.arange(at_pivot, at_pivot + len(pivot), dtype=np.int32)
        pivot_tokens.append(np.tile(numbers, len(target)))
        at_target += len(target)
        at_pivot += len(pivot)
    return _Meetings(
        np.searchsorted(types, _keys(pairs, width)).astype(np.int32),
        np.concatenate(target_tokens),
        np.concatenate(pivot_tokens),
    )


def _train(
    meetings: Sequence[tuple[np.ndarray, np.ndarray]], conditions: np.ndarray, iterations: int
) -> np.ndarray:
    """P(other type | conditioning type) of each pair of types.

    Every token of the explained side is explained by one token of the other side in its line, or
    by nothing (a constant share, so that function words need not align).

    Args:
        meetings: the pair of types and the explained token of each meeting, some lines at a time.
        conditions: of each pair of types, the type that explains.
        iterations: of expectation maximisation.
    """
    size = len(conditions)
    condition = np.unique(conditions, return_inverse=True)[1]
    met = np.sum([np.bincount(pair, minlength=size) for pair, _ in meetings], axis=0)
    probability: np.ndarray = met / np.bincount(condition, weights=met)[condition]
    nothing = float(np.median(probability)) / 2
    for _ in range(iterations):
        counts = np.zeros(size)
        for pair, explained in meetings:
            each = probability[pair]
            each /= np.bincount(explained, weights=each)[explained] + nothing
            counts += np.bincount(pair, weights=each, minlength=size)
        probability = counts / np.maximum(np.bincount(condition, weights=counts)[condition], 1e-12)
    return probability
