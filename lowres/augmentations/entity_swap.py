"""Another entity of the same type in an entity's place (mention replacement: Dai and Adel 2020,
arXiv:2010.11683). For tagging with BIO tags.

The task then learns from more pairs of a name and what is said of it; tags go with the words.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from lowres.augmentations import AugmentationOptions, Mentions


class Options(AugmentationOptions):
    """By the training data's own entities in the same language, or by lists of names."""

    name: Literal["entity_swap"]
    entities: str | dict[str, str] | None = None
    """Lists of names: type (as it stands behind `B-`), tab, name; a template with `{lang}`, or one
    path a language. Types that a list lacks, and all by default, are the training data's own."""
    share: float = Field(0.5, gt=0, le=1)
    """Of the entities: how many are swapped."""
    spans: ClassVar[bool] = True
    list_key: ClassVar[str] = "entities"

    @field_validator("entities")
    @classmethod
    def _some(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if value is not None and not value:
            raise ValueError("names no file; name one, or leave it out to take the data's own")
        return value

    def word_lists(self) -> str | dict[str, str] | None:
        """The way's own, if it has any."""
        return self.entities

    def entity(
        self, kind: str, mention: tuple[str, ...], names: Mentions, draw: Random
    ) -> tuple[str, ...] | None:
        """Any other of the type, each as likely as the next; itself where there is none."""
        every = names.by_type.get(kind, ())
        if draw.random() >= self.share or every in ((), (mention,)):
            return None
        found = mention
        while found == mention:
            found = draw.choice(every)
        return found
