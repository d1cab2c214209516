"""`lowres evaluate`: an adapter on new labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import DataError, LanguageError


@guarded
def evaluate(
    adapter: Annotated[Path, typer.Argument(help="An adapter's folder, or a run's.")],
    data: Annotated[
        str, typer.Option(help="Path template with {lang} and {split}, or a Hub data set's id.")
    ],
    lang: Annotated[list[str], typer.Option(help="Language to score; again for more.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json and the answers.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    column: Annotated[
        list[str] | None, typer.Option(help="What the data calls a field: text=sentence.")
    ] = None,
    unseen_labels: Annotated[
        str, typer.Option(help="Labels the adapter does not know: error, drop or wrong.")
    ] = "error",
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Score an adapter on new labelled data; results.json as a run writes it."""
    from lowres import artifacts, predict, quiet, rating
    from lowres.progress import Terminal
    from lowres.report import summary_table

    asked = rating.Asked(_source(data, column or []), _codes(lang), _one(split), unseen_labels)
    progress = Terminal()
    quiet.libraries()
    folder = predict.find(adapter)
    loaded = predict.load(folder)
    for note in loaded.notes:
        progress.say(f"note: {note}")
    meta = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    base = (str(meta["base"]), str(meta["quantization"]))
    with artifacts.new_folder(out, "--out") as work:
        results = rating.rate(loaded, folder.name, base, asked, work, progress)
        text = results.model_dump_json(by_alias=True, indent=1)
        artifacts.write_text(work / "results.json", text + "\n")
    if as_json:
        typer.echo(text)
        return
    from rich.console import Console

    Console().print(summary_table(results))


def _source(data: str, columns: list[str]) -> Any:
    from pydantic import ValidationError

    from lowres.recipe import DataSource

    named = dict(pair.partition("=")[::2] for pair in columns)
    hub = "{" not in data and data.count("/") == 1 and not Path(data).exists()
    where = {"hub": data, "config": "{lang}"} if hub else {"files": data}
    try:
        return DataSource(**where, columns=named)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"--data or --column: {first['msg']}") from None


def _codes(given: list[str]) -> tuple[str, ...]:
    from lowres.languages import canonical

    try:
        return tuple(dict.fromkeys(canonical(code) for code in given))
    except ValueError as error:
        raise LanguageError(f"--lang: {error}") from None


def _one(split: str) -> str:
    if split not in ("train", "dev", "test"):
        raise DataError(f"--split {split}: expected train, dev or test")
    return split
