"""What runs of one process share, so that the next one does not look for it again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lowres.recipe import Base, Recipe

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.shared import Shared

READ = {"languages", "data", "task", "evaluate"}
"""The sections of a recipe that `data.load` looks at."""


class Kept:
    """Bases that were found, checked by their hashes or fetched, the data that was read last, and
    the base that was loaded last.

    Only the last: one language a run, and 200 of them would fill the memory.
    """

    def __init__(self) -> None:
        self._bases: dict[str, LocatedBase] = {}
        self._data: tuple[str, LabelledData] | None = None

    @cached_property
    def shared(self) -> Shared:
        """What is loaded: a base, tokenizers, windows."""
        from lowres.shared import Shared

        return Shared()

    def base(self, base: Base) -> LocatedBase:
        """As `bases.locate`, once a base."""
        from lowres import bases

        key = base.model_dump_json()
        if key not in self._bases:
            self._bases[key] = bases.locate(base.name, base.revision, base.allow_pickle)
        return self._bases[key]

    def data(self, recipe: Recipe) -> LabelledData:
        """As `data.load`; again only where another recipe's data was asked for in between."""
        from lowres import data

        key = recipe.model_dump_json(include=READ)
        if self._data is None or self._data[0] != key:
            self._data = (key, data.load(recipe))
        return self._data[1]
