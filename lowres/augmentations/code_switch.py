"""Words put into the target language, one by one (CoSDA-ML, Qin et al. 2020, arXiv:2006.06402).

The task then learns on words of the target, in the order of the source.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from lowres.augmentations import AugmentationOptions, Lexicon
from lowres.words import form, parted


class Options(AugmentationOptions):
    """By word lists, and by the words that `text.translations` aligns."""

    name: Literal["code_switch"]
    lexicon: str | dict[str, str] | None = None
    """Word lists: translation, tab, word in the target (as GATITOS has them); a template with
    `{lang}`, or one path a language. By default the recipe's `text`: its word lists and aligned
    lines."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the words that have a translation: how many are put into the target language."""
    bilingual: ClassVar[bool] = True

    @field_validator("lexicon")
    @classmethod
    def _some(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if value is not None and not value:
            raise ValueError("names no file; name one, or leave it out to take the recipe's text")
        return value

    def word_lists(self) -> str | dict[str, str] | None:
        """The way's own, if it has any."""
        return self.lexicon

    def word(self, word: str, lexicon: Lexicon | None, draw: Random) -> str | None:
        """A translation, drawn by its probability, between the word's own punctuation."""
        assert lexicon is not None, "bilingual"
        before, _, after = parted(word)
        found = lexicon.entries.get(form(word))
        if not found or draw.random() >= self.share:
            return None
        (chosen,) = draw.choices([w for w, _ in found], [share for _, share in found])
        return f"{before}{chosen}{after}"
