"""`lowres predict`: texts in, one answer a text out."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lowres.cli_guard import guarded
from lowres.errors import LowresError


class Form(StrEnum):
    """Of the output; `answers.Format` for the command line."""

    jsonl = "jsonl"
    csv = "csv"


class Quantization(StrEnum):
    """As in a recipe's `base.quantization`."""

    int8 = "8bit"
    nf4 = "4bit"
    none = "none"


def _code(given: str | None) -> str | None:
    from lowres.languages import of_option

    return None if given is None else of_option("--lang", given)


@guarded
def predict(
    adapter: Annotated[
        str, typer.Argument(help="An adapter's folder, a run's, or a Hub id (namespace/name).")
    ],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none: standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read lines from a file.")] = None,
    form: Annotated[
        Form, typer.Option("--format", help="JSON lines, or CSV with a line of names.")
    ] = Form.jsonl,
    every: Annotated[
        bool, typer.Option("--all", help="Probabilities of all labels, not the answer's alone.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit on the Hub.")
    ] = None,
    lang: Annotated[
        str | None, typer.Option(help="Language of the texts, where a run made an adapter each.")
    ] = None,
    quantization: Annotated[
        Quantization | None, typer.Option(help="Of the base; as in training by default.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load a base of pickled weights (can run code).")
    ] = False,
    trimmed: Annotated[
        bool, typer.Option("--trimmed", help="Over the small table of the run's tokenizer.trim.")
    ] = False,
) -> None:
    """Answer texts with an adapter: one line an input line, in order, in flat memory."""
    from lowres import answers, input_lines, quiet
    from lowres import predict as using
    from lowres.progress import Terminal

    if texts and file is not None:
        raise LowresError("give texts or --file, not both")
    lines = texts or input_lines.lines_of(file)
    source = "texts" if texts else str(file or "standard input")
    progress = Terminal()
    quiet.libraries()
    loaded = using.load(
        adapter,
        quantization=None if quantization is None else quantization.value,
        allow_pickle=allow_pickle,
        language=_code(lang),
        trimmed=trimmed,
        revision=revision,
    )
    for note in loaded.notes:
        progress.say(f"note: {note}")
    found = loaded.stream(lines, every, source)
    count = 0
    for line in answers.written(found, form.value, loaded.columns(every)):
        _put(line)
        count += 1
    if loaded.unread is not None:
        for note in loaded.unread.notes(loaded.tokenizer.convert_ids_to_tokens):
            progress.say(f"note: {note}")
    if count == (form is Form.csv):
        progress.say(f"note: {source}: no line in it, so no answer")


def _put(line: str) -> None:
    """Write a line of output; `BrokenPipeError` passes, as its reader has had enough."""
    if sys.stdout is None:
        raise LowresError("standard output is closed; send it to a file, or leave it open")
    try:
        typer.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        # what could not be written stays in the buffer, and would fail again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise LowresError(
            f"standard output: {error.strerror}; free some space, or send it elsewhere"
        ) from error
