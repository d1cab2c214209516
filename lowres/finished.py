"""Language adapters that are there already, from `lowres adapt`: a study on one trains none.

The folder's own words are believed as far as they can be checked: the base and its revision by
`adapter_config.json`, the vocabulary by its fingerprint, the shapes when it is put under a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lowres import artifacts, bases, extension, model, stacking
from lowres.bases import LocatedBase
from lowres.errors import RunError
from lowres.recipe import Recipe

KEY = "adapt.adapter"


def folders(recipe: Recipe) -> dict[str | None, Path]:
    """The adapters that a recipe names, by language; by None where one serves all."""
    if recipe.adapt is None or recipe.adapt.adapter is None:
        return {}
    named = recipe.adapt.adapter
    if not recipe.adapt.per_language:
        return {None: _adapter_in(named)}
    return {code: _adapter_in(named.replace("{lang}", code)) for code in recipe.languages.targets}


def _adapter_in(named: str) -> Path:
    """Either what `--out` was, or the `adapter` inside."""
    folder = Path(named).expanduser()
    inside = folder / "adapter"
    found = inside if (inside / stacking.CONFIG).is_file() else folder
    if not (found / stacking.CONFIG).is_file():
        what = "holds no finished adapter" if folder.is_dir() else "no such folder"
        raise RunError(f"{KEY} {folder}: {what}; expected what `lowres adapt --out` has written")
    return found


def check(recipe: Recipe, located: LocatedBase) -> None:
    """Raise `RunError` where an adapter is of another base, revision or tokenizer."""
    for folder in folders(recipe).values():
        config = stacking.read_config(folder)
        where = f"{KEY} {folder}"
        theirs, ours = config.get("base_model_name_or_path"), located.hub_id or located.path
        if bases.is_hub_id(theirs) and located.hub_id is not None and theirs != ours:
            raise RunError(f"{where}: was made on {theirs}, not on {ours}; give that base.name")
        revision = config.get("revision")
        if revision and located.revision and revision != located.revision:
            raise RunError(
                f"{where}: was made on revision {revision} of {theirs}, not on {located.revision}; "
                "give that base.revision"
            )
        if config.get("modules_to_save"):
            raise RunError(
                f"{where}: has a task's head: an adapter of `lowres run`, not a language adapter; "
                "expected what `lowres adapt --out` has written"
            )
        stacking.read(folder)
        if not (folder / extension.META).is_file():
            if stacking.token_ids(config):
                raise RunError(
                    f"{where}: has rows of new pieces, but no {extension.META}; copy that file "
                    "from the extension it was adapted with, or adapt again"
                )
            continue
        if recipe.adapt is not None and recipe.adapt.per_language:
            raise RunError(
                f"{where}: brings new pieces, and adapters of single languages share one "
                "tokenizer: set adapt.per_language: false, or give adapters without an extension"
            )
        found = extension.read(folder)
        state = extension.state_of(model.load_tokenizer(located))
        extension.check_vocabulary(found, state, where, located.name)


def under(recipe: Recipe, located: LocatedBase) -> LocatedBase:
    """The base with the adapters that the recipe names, and the tokenizer they were made with."""
    each = {code: str(folder.resolve()) for code, folder in folders(recipe).items()}
    if None in each:
        return replace(located, language=each[None], extension=_extension(each[None]))
    return replace(located, per_language=tuple((str(code), path) for code, path in each.items()))


def _extension(folder: str) -> str | None:
    return folder if (Path(folder) / extension.META).is_file() else None


def digests(recipe: Recipe) -> list[str]:
    """Of the adapters' weights, in the order of the targets."""
    return [artifacts.file_hash(file) for file in _files(recipe)]


def _files(recipe: Recipe) -> Iterator[Path]:
    for folder in folders(recipe).values():
        yield folder / stacking.WEIGHTS
        if (folder / extension.META).is_file():
            yield folder / extension.META
