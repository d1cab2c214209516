"""`lowres adapt`: a language adapter without a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import RunError


@guarded
def adapt(
    base: Annotated[str, typer.Option(help="A base's name, Hub id or folder.")],
    text: Annotated[
        list[Path], typer.Option(help="UTF-8 text, one sentence a line; again for more languages.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command goes on there.")],
    lang: Annotated[
        list[str] | None,
        typer.Option(help="Language of each text; default: its file name (tzm_Tfng.txt)."),
    ] = None,
    translation: Annotated[
        list[Path] | None,
        typer.Option(help="Line-by-line translation, one for all texts or one each."),
    ] = None,
    lexicon: Annotated[
        list[Path] | None, typer.Option(help="Word list: translation, tab, word; one a text.")
    ] = None,
    extension: Annotated[
        Path | None, typer.Option(help="Folder that `lowres tokenizer extend` wrote.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="align, mlm or both.")] = None,
    quantization: Annotated[str, typer.Option(help="Of the base: 8bit, 4bit or none.")] = "8bit",
    epochs: Annotated[float | None, typer.Option(help="Passes over the text.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; overrides epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Lines a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of LoRA.")] = None,
    rows_learning_rate: Annotated[float | None, typer.Option(help="Of the new rows.")] = None,
    rank: Annotated[int | None, typer.Option(help="Of LoRA; alpha is twice that.")] = None,
    held_out: Annotated[int, typer.Option(help="Lines at the end kept for measuring.")] = 300,
    seed: Annotated[int, typer.Option(help="Of LoRA's start and of the order.")] = 1,
) -> None:
    """Adapt a base to raw or parallel text: LoRA and new rows, figures before and after."""
    from lowres import bases, quiet, text_options
    from lowres.interrupts import Presses
    from lowres.progress import Terminal

    options = text_options.adapt(
        objective=objective,
        epochs=epochs,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        rows_learning_rate=rows_learning_rate,
        rank=rank,
        alpha=None if rank is None else 2 * rank,
    )
    chosen = text_options.base(base, quantization)
    described = text_options.text(text, lang, translation, lexicon, held_out)
    _check_extension(extension)
    bases.check_name(base)
    from lowres import adapt_alone

    presses = Presses()
    progress = Terminal(presses.check)
    quiet.libraries()
    with presses.watched(), text_options.named_as_options():
        done = adapt_alone.make(options, chosen, described, extension, out, seed, progress)
    _show(done)
    typer.echo(json.dumps({"adapter": str(out / "adapter"), "steps": done["steps"]}), err=True)


def _show(done: dict[str, Any]) -> None:
    for before, after in zip(done["before"], done["after"], strict=True):
        typer.echo(
            f"{before['language']}: {before['name']} {before['value']:.3f} -> {after['value']:.3f} "
            f"(n {after['n']})"
        )


def _check_extension(folder: Path | None) -> None:
    if folder is not None and not (folder / "extension.json").is_file():
        raise RunError(
            f"--extension {folder}: no extension.json; make one with `lowres tokenizer extend`"
        )
