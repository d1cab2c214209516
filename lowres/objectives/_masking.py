"""Which tokens of a line a masked language model has to guess, and what stands in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SHOWN_AS_MASK, SHOWN_AS_RANDOM = 0.8, 0.1
"""Of the tokens to guess; the rest is shown as it is (Devlin et al. 2019, arXiv:1810.04805)."""
MARKS = ("▁", "Ġ", "##")
"""What marks a piece that begins a word; the last one marks a piece that does not."""
LONGEST_WORD = 12
"""Pieces. A longer run (a script without spaces) is masked piece by piece."""


class Masking:
    """The masks of training, drawn from a generator."""

    def __init__(self, tokenizer: Any, share: float, whole_words: bool) -> None:
        self._share = share
        self._mask_id = int(tokenizer.mask_token_id)
        ids = np.asarray(list(tokenizer.get_vocab().values()))
        self._ordinary = np.zeros(vocabulary_size(tokenizer), dtype=bool)
        self._ordinary[ids] = True
        self._ordinary[tokenizer.all_special_ids] = False
        self._choices = np.flatnonzero(self._ordinary)
        self._begins = word_starts(tokenizer) if whole_words else None

    def has_any(self, ids: Sequence[int] | np.ndarray) -> bool:
        """Whether a line holds a token that could be guessed: not special, not unknown."""
        return bool(self._ordinary[np.asarray(ids, dtype=np.int64)].any())

    def draw(
        self, lines: Sequence[np.ndarray], generator: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """What is shown of each line, and which of its tokens (bool) are to be guessed.

        In each line the share of its ordinary tokens, rounded, and one at least.
        """
        hidden = [self._chosen(ids, generator) for ids in lines]
        shown = [
            self._shown(ids, guess, generator) for ids, guess in zip(lines, hidden, strict=True)
        ]
        return shown, hidden

    def _chosen(self, ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        ordinary = self._ordinary[ids]
        unit = np.cumsum(ordinary) if self._begins is None else units(self._begins[ids])
        _, unit, sizes = np.unique(unit[ordinary], return_inverse=True, return_counts=True)
        goal = max(1, round(self._share * int(ordinary.sum())))
        order = generator.permutation(len(sizes))
        enough = int(np.searchsorted(np.cumsum(sizes[order]), goal)) + 1
        guess = np.zeros(len(ids), dtype=bool)
        guess[ordinary] = np.isin(unit, order[:enough])
        return guess

    def _shown(
        self, ids: np.ndarray, guess: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        shown = ids.copy()
        places = np.flatnonzero(guess)
        drawn = generator.random(len(places))
        others = generator.choice(self._choices, len(places))
        shown[places[drawn < SHOWN_AS_MASK]] = self._mask_id
        swapped = (drawn >= SHOWN_AS_MASK) & (drawn < SHOWN_AS_MASK + SHOWN_AS_RANDOM)
        shown[places[swapped]] = others[swapped]
        return shown


def vocabulary_size(tokenizer: Any) -> int:
    """The highest id of a tokenizer, plus one."""
    return int(max(tokenizer.get_vocab().values())) + 1


def word_starts(tokenizer: Any) -> np.ndarray:
    """Of every piece, whether a word begins with it: by `▁` (Unigram), `Ġ` (byte-level BPE), or
    no `##` (WordPiece), whichever is the most frequent in the vocabulary."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    marked = {mark: [i for p, i in vocabulary.items() if p.startswith(mark)] for mark in MARKS}
    mark = max(MARKS, key=lambda each: len(marked[each]))
    begins = np.full(vocabulary_size(tokenizer), mark == MARKS[-1])
    begins[marked[mark]] = mark != MARKS[-1]
    return begins


def units(begins: np.ndarray) -> np.ndarray:
    """Number of the word that each token belongs to; each token of a too long one is its own."""
    word = np.cumsum(begins)
    _, place, sizes = np.unique(word, return_inverse=True, return_counts=True)
    return np.cumsum(begins | (sizes[place] > LONGEST_WORD))
