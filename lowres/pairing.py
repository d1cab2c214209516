"""Whether texts and their translations are paired as they stand, or as if shuffled.

Two signs, neither of which knows the languages: long texts have long translations, and a word that
comes again meets its own translation again (IBM model 1, `alignment.py`). Pairs that show neither
more than the same texts shuffled are no translations of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import fmean, stdev
from typing import Final

import numpy as np

from lowres import evenly
from lowres.alignment import align
from lowres.words import form

FEWEST: Final = 60
"""Pairs; of fewer it is not said whether they are."""
ABOVE: Final = 2.0
"""Standard deviations above shuffled pairs from which on a pairing is one, by its lengths: so are 2
in a hundred shuffled ones, and of true ones all but 1 in 1,080 drawings of 60 from the
demonstration, whose sentences are nearly of one length (benchmarks/pairing.py)."""
ABOVE_IN_WORDS: Final = 4.0
"""The same of words: a rare word that meets itself once more sways so few shuffles."""
ALIGNED: Final = 200
"""Pairs that are aligned at most, evenly out of all."""
SHUFFLES: Final = 12


def above_chance(texts: Sequence[Sequence[str]], translations: Sequence[Sequence[str]]) -> bool:
    """Whether the i-th translation is more like that of the i-th text than of any other.

    Args:
        texts: words of each, or characters where a script sets no spaces.
        translations: of the same, in the same order.
    """
    if len(texts) < FEWEST or lengths(texts, translations) >= ABOVE:
        return True
    return words(texts, translations) >= ABOVE_IN_WORDS


def lengths(texts: Sequence[Sequence[str]], translations: Sequence[Sequence[str]]) -> float:
    """Correlation of the ranks of both lengths in characters, in standard deviations of that of
    shuffled pairs, which are 1 / sqrt(pairs - 1)."""
    ranks = [_ranks([sum(map(len, each)) for each in side]) for side in (texts, translations)]
    if min(float(side.std()) for side in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) * math.sqrt(len(texts) - 1)


def _ranks(values: Sequence[int]) -> np.ndarray:
    """Places in rising order; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def words(texts: Sequence[Sequence[str]], translations: Sequence[Sequence[str]]) -> float:
    """How well words explain those that they meet, in standard deviations above shuffled pairs."""
    chosen = evenly.places(len(texts), ALIGNED)
    size = len(chosen)
    ours, theirs = (_numbered([side[at] for at in chosen]) for side in (texts, translations))
    draw = Random(size)
    shuffled = [_explained(ours, draw.sample(theirs, size)) for _ in range(SHUFFLES)]
    spread = stdev(shuffled)
    return (_explained(ours, theirs) - fmean(shuffled)) / spread if spread else 0.0


def _numbered(side: Sequence[Sequence[str]]) -> list[np.ndarray]:
    numbers: dict[str, int] = {}
    return [
        np.array(
            [numbers.setdefault(found, len(numbers)) for word in words if (found := form(word))],
            dtype=np.int64,
        )
        for words in side
    ]


def _explained(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Mean weight of the best alignment of each word that comes more than once: what comes once is
    aligned with whatever it meets."""
    found = align(list(zip(theirs, ours, strict=True)))
    if not len(found.weight):
        return 0.0
    tokens = np.concatenate(theirs)
    counts = np.bincount(tokens, minlength=int(found.target.max()) + 1)
    first = np.unique(found.target, return_index=True)
    best = np.zeros(len(counts))
    best[first[0]] = found.weight[first[1]]
    often = np.where(counts > 1, counts, 0)
    return float((best * often).sum() / max(1, int(often.sum())))
