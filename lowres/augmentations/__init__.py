"""Changed copies of the source's training examples, beside the originals; labels stay.

One file adds one way. It defines `Options`, a subclass of `AugmentationOptions` with a `Literal`
name, and how it changes a word or an entity; nothing else in the package names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Lexicon:
    """What words of the source are in one language."""

    language: str
    entries: Mapping[str, tuple[tuple[str, float], ...]]
    """`words.form` of a word -> (translation, probability), likeliest first."""
    spaced: bool
    """Whether the language sets spaces between words."""
    origin: str
    """What it was made of, for errors: a key of the recipe and its files."""


@dataclass(frozen=True)
class Mentions:
    """Names of entities, such as an entity of one type may be put in the place of another."""

    by_type: Mapping[str, tuple[tuple[str, ...], ...]]
    """Type, as it stands behind `B-` -> its mentions, each once, word by word."""
    origin: str
    """What they were taken from, for errors and notes."""


Known = Lexicon | Mentions
"""What a way looks into."""


class AugmentationOptions(BaseModel):
    """Base of every entry of `train.augment`; frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    copies: int = Field(2, ge=1, le=100)
    """Changed copies of each example, beside the example itself."""
    bilingual: ClassVar[bool] = False
    """Whether `word` looks into a lexicon."""
    spans: ClassVar[bool] = False
    """Whether it is `entity` that changes examples: for tagging with BIO tags alone."""
    list_key: ClassVar[str] = "lexicon"
    """The key that names its files."""

    def word_lists(self) -> str | dict[str, str] | None:
        """Files that it takes words or names from, one a target; None where there are none: a
        bilingual way reads the recipe's `text` then, one of spans the examples alone."""
        return None

    def word(self, word: str, lexicon: Lexicon | None, draw: Random) -> str | None:
        """What stands for a word: something else, nothing (empty), or None for the word itself.

        Args:
            word: as it stands between spaces, punctuation at its ends included.
            lexicon: of the language that this copy of the example is changed into, for a bilingual
                way.
            draw: all chance comes from here.
        """
        return None

    def entity(
        self, kind: str, mention: tuple[str, ...], names: Mentions, draw: Random
    ) -> tuple[str, ...] | None:
        """What stands for an entity: the words of another, at least one, or None for itself.

        Args:
            kind: its type, as it stands behind `B-`.
            mention: its words.
            names: of the example's language, or of the target that this copy is made for.
            draw: all chance comes from here.
        """
        return None
