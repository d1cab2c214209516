"""`lowres adapt`: a language adapter without a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import RunError

if TYPE_CHECKING:
    from lowres.recipe import Base
    from lowres.recipe_text import Adapt, Text


Texts = Annotated[
    list[Path], typer.Option(help="UTF-8 text, one sentence a line; again for more languages.")
]
Out = Annotated[Path, typer.Option(help="Folder to write; the same command goes on there.")]
Languages = Annotated[
    list[str] | None,
    typer.Option(help="Language of each text; default: its file name (tzm_Tfng.txt)."),
]
Translations = Annotated[
    list[Path] | None,
    typer.Option(help="Line-by-line translation, one for all texts or one each."),
]
Lexicons = Annotated[
    list[Path] | None, typer.Option(help="Word list: translation, tab, word; one a text.")
]
Extension = Annotated[
    Path | None, typer.Option(help="Folder that `lowres tokenizer extend` wrote.")
]
Contrast = Annotated[
    float | None, typer.Option(help="align: weight of telling a batch's translations apart.")
]
MaskShare = Annotated[float | None, typer.Option(help="mlm: share of the tokens to be guessed.")]
WholeWords = Annotated[
    bool, typer.Option("--whole-words", help="mlm: mask all pieces of a word together.")
]
MlmShare = Annotated[float | None, typer.Option(help="both: share of the steps that are mlm.")]


@guarded
def adapt(
    base: Annotated[str, typer.Option(help="A base's name, Hub id or folder.")],
    text: Texts,
    out: Out,
    lang: Languages = None,
    translation: Translations = None,
    lexicon: Lexicons = None,
    extension: Extension = None,
    objective: Annotated[str | None, typer.Option(help="align, mlm or both.")] = None,
    quantization: Annotated[str, typer.Option(help="Of the base: 8bit, 4bit or none.")] = "8bit",
    epochs: Annotated[float | None, typer.Option(help="Passes over the text.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; overrides epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Lines a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of LoRA.")] = None,
    rows_learning_rate: Annotated[float | None, typer.Option(help="Of the new rows.")] = None,
    rank: Annotated[int | None, typer.Option(help="Of LoRA; alpha is twice that.")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the steps that rates rise.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longer lines are cut.")] = None,
    contrast: Contrast = None,
    temperature: Annotated[float | None, typer.Option(help="align: of that contrast.")] = None,
    mask_share: MaskShare = None,
    whole_words: WholeWords = False,
    mlm_share: MlmShare = None,
    held_out: Annotated[int, typer.Option(help="Lines at the end kept for measuring.")] = 300,
    seed: Annotated[int, typer.Option(help="Of LoRA's start and of the order.")] = 1,
) -> None:
    """Adapt a base to raw or parallel text: LoRA and new rows, figures before and after."""
    from lowres import text_options

    options = text_options.adapt(
        objective=objective,
        epochs=epochs,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        rows_learning_rate=rows_learning_rate,
        rank=rank,
        alpha=None if rank is None else 2 * rank,
        warmup=warmup,
        max_tokens=max_tokens,
        contrast=contrast,
        temperature=temperature,
        mask_share=mask_share,
        whole_words=whole_words or None,
        mlm_share=mlm_share,
    )
    chosen = text_options.base(base, quantization)
    described = text_options.text(text, lang, translation, lexicon, held_out)
    _adapt(options, chosen, described, extension, out, seed)


def _adapt(
    options: Adapt, base: Base, text: Text, extension: Path | None, out: Path, seed: int
) -> None:
    from lowres import bases, quiet, text_options
    from lowres.interrupts import Presses
    from lowres.progress import Terminal

    _check_extension(extension)
    bases.check_name(base.name)
    from lowres import adapt_alone

    presses = Presses()
    progress = Terminal(presses.check)
    quiet.libraries()
    with presses.watched(), text_options.named_as_options():
        done = adapt_alone.make(options, base, text, extension, out, seed, progress)
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
