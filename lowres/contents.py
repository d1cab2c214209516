"""What `lowres validate` reads of a study's labelled data, so that it finds what a run would.

Only what takes a moment: files on this disk, of a format that needs no library of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lowres import data, locations, readers

if TYPE_CHECKING:
    from pathlib import Path

    from lowres.recipe import Recipe
    from lowres.recipe_data import DataSource

MOST_MB: Final = 5
"""Of all files together. A run reads larger ones before its first stage: TSV takes 0.13 s a MB here
on a busy core, CoNLL 0.4."""


@dataclass(frozen=True)
class Contents:
    """The columns of a study: id and the task's fields."""

    labels: tuple[str, ...]
    """See `data.LabelledData`."""
    train: dict[str, list[Any]]
    """All sources, in recipe order."""
    tests: dict[str, dict[str, list[Any]]]
    """Of each target."""


def read(recipe: Recipe) -> Contents | str:
    """The columns, or why they were not read.

    Raises `DataError` for all that a run would refuse in them. Imports no heavy library.
    """
    if _on_hub(recipe):
        return "labelled data on the Hub: what is in it is checked by the run"
    files = list(_files(recipe))
    if any(_kind(spec, path) == "parquet" for spec, path in files):
        return "labelled data in Parquet: what is in it is checked by the run"
    size_mb = sum(path.stat().st_size for _, path in files) / 1e6
    # translations are looked at whole, as they always were, with what they are of
    if size_mb > MOST_MB and recipe.translated is None:
        return f"{size_mb:.0f} MB of labelled data: what is in it is checked by the run"
    labels, parts, _ = data.read(recipe)
    train: dict[str, list[Any]] = {}
    for code in recipe.languages.source:
        for name, values in parts[code, "train"].columns.items():
            train.setdefault(name, []).extend(values)
    tests = {code: dict(parts[code, "test"].columns) for code in recipe.languages.targets}
    return Contents(labels, train, tests)


def _on_hub(recipe: Recipe) -> bool:
    return any(s is not None and s.files is None for s in (recipe.data, recipe.data.source))


def _files(recipe: Recipe) -> Iterator[tuple[DataSource, Path]]:
    """What `data.read` will open."""
    sources, targets = recipe.languages.source, recipe.languages.targets
    wanted = [(code, split) for code in sources for split in ("train", "dev", "test")]
    wanted += [(code, split) for code in targets for split in ("train", "test")]
    for language, split in wanted:
        origin = data.origin_of(recipe, language)
        place = locations.find(origin, split)
        if place is not None:
            yield origin.spec, place.path


def _kind(spec: DataSource, path: Path) -> str:
    named = spec.format
    return readers.FORMAT_OF_SUFFIX.get(path.suffix.lower(), "") if named == "auto" else named
