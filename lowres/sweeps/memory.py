"""How many workers the memory of this machine holds, by the plans of the runs that are to come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lowres import plan
from lowres.errors import BaseModelError, DeviceError
from lowres.recipe import Recipe
from lowres.recipe_loading import digest


@dataclass(frozen=True)
class Held:
    """`workers`: one at least; `why` there are no more, for a message."""

    workers: int
    why: str


def held(recipes: Iterable[Recipe]) -> Held | None:
    """For runs of which any may be side by side; None where the size of no base is known here.

    The largest one counts, each is planned as `lowres plan` does it: without torch on a machine
    without a GPU.
    """
    peak_mb = free_mb = 0.0
    for recipe in _distinct(recipes):
        try:
            made = plan.make(recipe)
        except DeviceError as error:
            # it will say so itself, and nothing else is to stand beside it
            return Held(1, str(error))
        except BaseModelError:
            # not on this disk yet
            continue
        peak_mb, free_mb = max(peak_mb, made.peak_mb), made.place.free_mb
    if not peak_mb:
        return None
    why = f"each takes up to {peak_mb:,.0f} MB, {free_mb:,.0f} MB are free"
    return Held(max(1, int(free_mb // peak_mb)), why)


def _distinct(recipes: Iterable[Recipe]) -> Iterable[Recipe]:
    """One of those that take the same memory: seeds come one after another, and of the targets
    their number alone counts."""
    found: dict[str, Recipe] = {}
    for recipe in recipes:
        languages = recipe.languages
        number = languages.model_copy(update={"targets": ("",) * len(languages.targets)})
        plain = recipe.model_copy(update={"languages": number, "seeds": (), "question": ""})
        found.setdefault(digest(plain), recipe)
    return found.values()
