"""Which words of held-out lines are hidden, and how many characters each piece of them stands for.

All of it by characters, so that two tokenizers are asked for the same words of the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST_WORD = 30
"""Characters. A longer run (a script without spaces) is cut into parts."""
PART = 6
"""Characters of such a part."""


@dataclass(frozen=True)
class Held:
    """Held-out lines as ids with their hidden words."""

    lines: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]
    """Of each token, which piece of a hidden word it is (0, 1 …); -1 for one in view."""
    mask_id: int
    characters: int
    """That the hidden pieces stand for, no white space."""
    spelt_bits: float
    """For the characters that hidden unknown pieces stand for."""

    @property
    def longest(self) -> int:
        """Pieces of the longest hidden word."""
        return max((int(place.max()) + 1 for place in self.places), default=0)

    def shown(self, index: int, number: int) -> np.ndarray:
        """A line with its hidden words masked from their piece `number` on."""
        masked: np.ndarray = np.where(self.places[index] >= number, self.mask_id, self.lines[index])
        return masked


def held_lines(
    tokenizer: Any, lines: Sequence[str], max_tokens: int, share: float, seed: int
) -> Held:
    """Encode lines and hide words of them; lines of which nothing is left are left out."""
    alphabet = len({c for line in lines for c in line if not c.isspace()})
    ids, places = [], []
    characters = unknown = 0
    for number, line in enumerate(lines):
        encoded = tokenizer(
            line,
            truncation=True,
            max_length=max_tokens,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        word = word_of_character(line)
        # one draw a word, so that a line that is cut earlier has the same words hidden before
        drawn = np.random.default_rng((seed, number)).random(int(word.max(initial=-1)) + 1)
        hidden = np.append((drawn < share) | (drawn == drawn.min(initial=1.0)), False)
        spans = np.asarray(encoded["offset_mapping"]).reshape(-1, 2)
        real = ~np.asarray(encoded["special_tokens_mask"], dtype=bool)
        of_token = np.where(real, word_of_token(word, spans), -1)
        place = np.where(hidden[of_token], places_in_words(of_token), -1)
        if (place < 0).all():
            continue
        ids.append(np.asarray(encoded["input_ids"], dtype=np.int64))
        places.append(place)
        characters += covered(word, spans[place >= 0])
        strange = ids[-1] == (-1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id)
        unknown += covered(word, spans[(place >= 0) & strange])
    spelt = unknown * float(np.log2(max(2, alphabet)))
    return Held(tuple(ids), tuple(places), int(tokenizer.mask_token_id), characters, spelt)


def word_of_character(line: str) -> np.ndarray:
    """Number of the word of each character, -1 for white space; [characters]."""
    words = np.full(len(line), -1, dtype=np.int64)
    number = start = 0
    for run in line.split():
        start = line.index(run, start)
        part = len(run) if len(run) <= LONGEST_WORD else PART
        inside = np.arange(len(run)) // part
        words[start : start + len(run)] = number + inside
        number += int(inside[-1]) + 1
        start += len(run)
    return words


def word_of_token(word: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Number of the word in which each token begins, white space before it left out; [tokens]."""
    ends = len(word)
    # of each character the next one that is no white space, itself or behind it
    places = np.where(word >= 0, np.arange(ends), ends)
    following = np.append(np.minimum.accumulate(places[::-1])[::-1], ends)
    of_token: np.ndarray = np.append(word, -1)[following[np.minimum(spans[:, 0], ends)]]
    return of_token


def places_in_words(of_token: np.ndarray) -> np.ndarray:
    """Which piece of its word each token is; [tokens]."""
    begins = np.append(True, of_token[1:] != of_token[:-1])
    at = np.arange(len(of_token))
    places: np.ndarray = at - np.maximum.accumulate(np.where(begins, at, 0))
    return places


def covered(word: np.ndarray, spans: np.ndarray) -> int:
    """Characters within these spans, white space left out, each counted once."""
    inside = np.zeros(len(word), dtype=bool)
    for start, end in spans:
        inside[start:end] = True
    return int((inside & (word >= 0)).sum())
