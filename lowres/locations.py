"""Where the files of a language are: templates, split names, what is missing.

Nothing here reads a file or imports `datasets`: `lowres validate` calls it.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from lowres.errors import DataError, nearest
from lowres.recipe_data import DataSource
from lowres.registry import PACKAGE_DIR

INSIDE_PACKAGE = "lowres:"
USUAL_SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "dev": ("dev", "validation", "valid"),
    "test": ("test",),
}


CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Origin:
    """One language in one `DataSource`. `key`: what the recipe calls it (data, data.source)."""

    spec: DataSource
    key: str
    language: str

    @property
    def name(self) -> str:
        """What the data set calls the language."""
        return self.spec.names.get(self.language, self.language)

    def split_names(self, split: str) -> tuple[str, ...]:
        """What the split may be called there, likeliest first."""
        named = self.spec.splits.get(split)  # type: ignore[call-overload]
        return (named,) if named is not None else USUAL_SPLITS[split]


@dataclass(frozen=True)
class Location:
    """`shown` is the path as the recipe writes it, for records and messages."""

    path: Path
    shown: str


def fill(template: str, key: str, **values: str) -> str:
    """Put the values in for `{lang}` and `{split}`.

    Raises `DataError` that names the recipe's key for any other placeholder or a lone brace.
    """
    known = ", ".join("{" + name + "}" for name in values)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise DataError(
            f"{key}: {template!r} is no template ({error}); it may hold {known}"
        ) from None
    for _, field, form, conversion in parts:
        if field is not None and (field not in values or form or conversion):
            raise DataError(
                f"{key}: unknown placeholder {{{field}}} in {template!r}"
                f"{nearest(field, tuple(values))}; it may hold {known}"
            )
    return template.format(**values)


def placeholders(template: str) -> set[str]:
    """Names in braces; the template must be one that `fill` takes."""
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def candidates(origin: Origin, split: str) -> list[Location]:
    """Paths that may hold this split; none if the recipe gives no file for it."""
    files = origin.spec.files
    key = f"{origin.key}.files"
    if isinstance(files, dict):
        template = files.get(split)  # type: ignore[call-overload]
        key = f"{key}.{split}"
    else:
        template = files
    if template is None:
        return []
    names = origin.split_names(split)
    paths = dict.fromkeys(fill(template, key, lang=origin.name, split=name) for name in names)
    return [Location(_absolute(path), path) for path in paths]


def find(origin: Origin, split: str) -> Location | None:
    """The first candidate that exists. `*` stands for any part of a name where one file matches.

    Raises `DataError` where several do.
    """
    for place in candidates(origin, split):
        if place.path.is_file():
            return place
        matched = _matches(str(place.path))
        if len(matched) > 1:
            raise DataError(
                f"{origin.key}.files: {place.shown} matches {len(matched)} files "
                f"({matched[0]}, {matched[1]}{' …' if matched[2:] else ''}); exactly one must match"
            )
        if matched:
            return Location(Path(matched[0]), matched[0])
    return None


def told(origin: Origin, split: str) -> str:
    """Where a split is read: its file, what was looked for where there is none, or the Hub's id."""
    if origin.spec.files is None:
        return f"{origin.spec.hub} on the Hub"
    found = find(origin, split)
    return absent(origin, split) if found is None else found.shown


def _matches(path: str) -> list[str]:
    """Files that the path stands for; only `*` is special, brackets are letters."""
    if "*" not in path:
        return []
    pattern = "*".join(glob.escape(part) for part in path.split("*"))
    # not Path.glob: it refuses absolute patterns
    return sorted(name for name in glob.glob(pattern) if Path(name).is_file())  # noqa: PTH207


def _absolute(path: str) -> Path:
    if path.startswith(INSIDE_PACKAGE):
        return PACKAGE_DIR / path.removeprefix(INSIDE_PACKAGE).lstrip("/")
    return Path(path).expanduser()


def check_template(spec: DataSource, key: str, languages: tuple[str, ...]) -> None:
    """Raise `DataError` for a template that reads one file for two languages or two splits."""
    files = spec.files
    if files is None:
        return
    if isinstance(files, str):
        fill(files, f"{key}.files", lang="x", split="x")
        if "split" not in placeholders(files):
            raise DataError(
                f"{key}.files: {files!r} has no {{split}}: train and test would be one file; "
                f"put {{split}} in, or give {key}.files.train, .dev and .test"
            )
    templates = files if isinstance(files, dict) else {"": files}
    for split, template in templates.items():
        where = f"{key}.files.{split}".rstrip(".")
        fill(template, where, lang="x", split="x")
        if len(languages) > 1 and "lang" not in placeholders(template):
            raise DataError(
                f"{where}: {template!r} has no {{lang}}: {', '.join(languages)} would be one file"
            )


def absent(origin: Origin, split: str) -> str:
    """One clause: which file is missing, and what lies there instead."""
    places = candidates(origin, split)
    if not places:
        return f"{origin.language}: {origin.key}.files gives no path for {split}"
    tried = " or ".join(place.shown for place in places)
    if places[0].path.is_dir():
        return f"{origin.language} {split}: {tried} is a folder, expected a file"
    folder = places[0].path.parent
    missing = places[0].path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, missing = folder.parent, folder.name
    entries = folder.iterdir() if folder.is_dir() else ()
    there = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    # any two codes look alike: `yor_Latn` is no hint for `lao_Laoo`
    whole = missing == origin.language
    alike = [n for n in there if not whole or n[:3] == missing[:3] or not CODE.fullmatch(n)]
    if places[0].shown.startswith(INSIDE_PACKAGE):
        return f"{origin.language} {split}: no file {tried} (lowres: means inside the package)"
    hint = nearest(missing, alike)
    if not hint and there:
        hint = f"; {folder} holds {', '.join(there[:8])}{' …' if len(there) > 8 else ''}"
    return f"{origin.language} {split}: no file {tried}{hint}"
