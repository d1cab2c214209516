"""`lowres translate`: the files of translations that a recipe names, by a model of the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowres.cli_guard import guarded
from lowres.errors import LowresError, reworded

if TYPE_CHECKING:
    from lowres.recipe import Recipe
    from lowres.recipe_translated import Use


@guarded
def translate(
    recipe: Annotated[str, typer.Argument(help="A recipe with the section translated.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key.path=value, as for lowres run.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Marian, M2M-100, NLLB-200 or mBART-50: a Hub id or a folder.")
    ] = "",
    use: Annotated[
        str | None, typer.Option(help="train or test; by default all that the recipe names.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Only this target; again for more.")
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(help="What the model calls a language: swh_Latn=sw; again for more."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Texts at once.")] = 16,
    beams: Annotated[int, typer.Option(min=1, help="Of beam search; 1 is greedy.")] = 4,
    max_tokens: Annotated[
        int, typer.Option(min=8, help="Longest text and translation, in pieces.")
    ] = 256,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load pickled weights (can run code).")
    ] = False,
) -> None:
    """Write the translations that a recipe names and that are not there; goes on where it was."""
    from lowres import data, hardware, languages, quiet, recipe_loading, translating, translator
    from lowres.interrupts import Presses
    from lowres.progress import Terminal

    if not model:
        raise LowresError("--model: name a translation model, such as facebook/m2m100_418M")
    study = recipe_loading.load(recipe, overrides or [])
    only = [languages.of_option("--language", given) for given in language or ()]
    missing = _missing(study, use, only)
    presses = Presses()
    progress = Terminal(presses.check)
    if not missing:
        progress.say("every file that the recipe names is there; remove one to make it anew")
        return
    quiet.libraries()
    codes = dict(_pair(given) for given in code or ())
    with presses.watched(), reworded(_as_options):
        folder, commit = translator.locate(model, revision, allow_pickle)
        labelled = data.load(study)
        settings = translator.Settings(model, commit, beams, max_tokens)
        loaded = translator.Translator(folder, settings, hardware.detect())
        for its, target in missing:
            rows = labelled.train if its == "train" else labelled.tests[target]
            made = translating.write(
                study, its, target, rows.to_dict(), loaded, codes, batch, progress
            )
            typer.echo(f"{made.path}: {made.n:,} translations")
            for note in made.notes:
                progress.say(f"note: {made.path}: {note}")


def _missing(study: Recipe, use: str | None, only: list[str]) -> list[tuple[Use, str]]:
    """(use, target) of every file that is to be written. Raises `LowresError`."""
    from lowres import translated
    from lowres.recipe_translated import USES

    if study.translated is None:
        raise LowresError(
            "the recipe has no section translated; give it a path to write to: "
            "'translated.train=translations/{lang}.jsonl'"
        )
    if use is not None and use not in USES:
        raise LowresError(f"--use {use}: expected train or test")
    unknown = [given for given in only if given not in study.languages.targets]
    if unknown:
        targets = ", ".join(study.languages.targets)
        raise LowresError(f"--language {unknown[0]}: is no target of the recipe ({targets})")
    found = []
    for its in USES if use is None else [its for its in USES if its == use]:
        for target in translated.languages(study, its):
            file = Path(study.translated.path(its, target) or "").expanduser()
            if (not only or target in only) and not file.exists():
                found.append((its, target))
    return found


def _pair(given: str) -> tuple[str, str]:
    from lowres import languages

    name, mark, code = given.partition("=")
    if not mark or not code:
        raise LowresError(f"--code {given}: write it as swh_Latn=sw")
    return languages.of_option("--code", name), code


def _as_options(said: str) -> str:
    """A model that is located is `base.name` elsewhere."""
    for key, option in (
        ("base.name", "--model"),
        ("base.revision", "--revision"),
        ("set base.allow_pickle: true", "add --allow-pickle"),
    ):
        said = said.replace(key, option)
    return said
