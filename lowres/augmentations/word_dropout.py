"""Words left out at random, so that no single one decides (Iyyer et al. 2015,
aclanthology.org/P15-1162)."""

from __future__ import annotations

from random import Random
from typing import Literal

from pydantic import Field

from lowres.augmentations import AugmentationOptions, Lexicon


class Options(AugmentationOptions):
    """Each word by itself."""

    name: Literal["word_dropout"]
    share: float = Field(0.2, gt=0, lt=1)
    """Of the words."""

    def word(self, word: str, lexicon: Lexicon | None, draw: Random) -> str | None:
        """Nothing, or the word."""
        return "" if draw.random() < self.share else None
