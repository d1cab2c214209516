"""Slips of the pen: a letter lost, doubled, or changed places with its neighbour (Belinkov and
Bisk 2018, arXiv:1711.02173). What unsettled spelling does to a word, in any script."""

from __future__ import annotations

from random import Random
from typing import Literal

import regex
from pydantic import Field

from lowres.augmentations import AugmentationOptions, Lexicon
from lowres.words import parted


class Options(AugmentationOptions):
    """One slip in a word, never in its first letter."""

    name: Literal["character_noise"]
    share: float = Field(0.2, gt=0, le=1)
    """Of the words of three letters and more."""

    def word(self, word: str, lexicon: Lexicon | None, draw: Random) -> str | None:
        """The word with one slip; letters go with their marks."""
        before, core, after = parted(word)
        letters = regex.findall(r"\X", core)
        if len(letters) < 3 or draw.random() >= self.share:
            return None
        at = draw.randrange(1, len(letters))
        slip = draw.choice(("lose", "double", "swap"))
        if slip == "swap" and at + 1 < len(letters):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif slip == "double":
            letters.insert(at, letters[at])
        else:
            del letters[at]
        return f"{before}{''.join(letters)}{after}"
