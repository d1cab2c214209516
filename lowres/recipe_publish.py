"""The section of a recipe that says how its adapter is published. It changes nothing of a run, so
that it can be added afterwards: it is no part of what names and compares run folders."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from lowres.recipe_types import Section, distinct, listed

PUBLISH = "publish.yaml"
"""In a run folder: this section, as the recipe said it last."""
# what the Hub accepts: lower-case identifiers, see hf.co/docs/hub/repositories-licenses
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def _licence(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError(
            f"{value!r} is no licence identifier of the Hub: write it as cc-by-4.0, "
            "cc-by-nc-sa-4.0, apache-2.0, mit …"
        )
    return value


class Publish(Section):
    """Who made an adapter, and on which terms it is given away."""

    license: str | None = None
    """Of the adapter, as the Hub writes it: cc-by-4.0, cc-by-nc-sa-4.0, apache-2.0 …"""
    authors: Annotated[tuple[str, ...], BeforeValidator(listed), AfterValidator(distinct)] = ()
    """For the citation."""
    data_licenses: dict[str, str] = Field(default_factory=dict)
    """Data set (its Hub id, or the path as the recipe writes it) -> its licence, where lowres does
    not know it."""
    intended_use: str = ""
    """What the adapter is for, in the makers' words; stands in the card."""

    @field_validator("license")
    @classmethod
    def _license(cls, value: str | None) -> str | None:
        return None if value is None else _licence(value)

    @field_validator("data_licenses")
    @classmethod
    def _data_licenses(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: _licence(licence) for name, licence in value.items()}
