"""`lowres evaluate`: an adapter on new labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowres.cli_guard import guarded
from lowres.errors import DataError

if TYPE_CHECKING:
    from lowres.rating import Asked
    from lowres.results import Results


@guarded
def evaluate(
    adapter: Annotated[
        str, typer.Argument(help="An adapter's folder, a run's, or a Hub id (namespace/name).")
    ],
    data: Annotated[
        str,
        typer.Option(help="Path, with {lang} and {split} in it or not, or a Hub data set's id."),
    ],
    lang: Annotated[list[str], typer.Option(help="Language to score; again for more.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json and the answers.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    column: Annotated[
        list[str] | None, typer.Option(help="What the data calls a field: text=sentence.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="A label of the data as the adapter says it: salud=health."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="What the data calls a language: yor_Latn=yoruba.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="csv, tsv, jsonl, parquet, conll, conllu or iob2.")
    ] = "auto",
    quoting: Annotated[str, typer.Option(help="Quotes in CSV and TSV: csv, none or auto.")] = (
        "auto"
    ),
    unseen_labels: Annotated[
        str, typer.Option(help="Labels the adapter does not know: error, drop or wrong.")
    ] = "error",
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit of the adapter.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Score an adapter on new labelled data; results.json as a run writes it."""
    from lowres import rating

    spec = rating.source(
        data,
        _one("--split", split, "train", "dev", "test"),
        columns=_pairs("--column", column, "text=sentence"),
        labels=_pairs("--label", label, "salud=health"),
        names=_named(name),
        format=form,
        quoting=quoting,
    )
    unseen = _one("--unseen-labels", unseen_labels, "error", "drop", "wrong")
    asked = rating.Asked(spec, _codes(lang), split, unseen)
    results = _rated(adapter, revision, asked, out)
    if as_json:
        typer.echo(results.model_dump_json(by_alias=True, indent=1))
        return
    from rich.console import Console

    from lowres.report import summary_table

    Console().print(summary_table(results))


def _rated(adapter: str, revision: str | None, asked: Asked, out: Path) -> Results:
    from lowres import artifacts, quiet, rating
    from lowres.progress import Terminal

    quiet.libraries()
    with artifacts.new_folder(out, "--out") as work:
        results = rating.rate(adapter, revision, asked, work, Terminal())
        text = results.model_dump_json(by_alias=True, indent=1)
        artifacts.write_text(work / "results.json", text + "\n")
    return results


def _pairs(option: str, given: list[str] | None, example: str) -> dict[str, str]:
    found = {}
    for pair in given or ():
        # the last one, as labels may hold any letter
        left, equals, right = pair.rpartition("=")
        if not (left and equals and right):
            raise DataError(f"{option} {pair}: expected two names with = between, as {example}")
        found[left] = right
    return found


def _named(given: list[str] | None) -> dict[str, str]:
    from lowres import languages

    pairs = _pairs("--name", given, "yor_Latn=yoruba")
    return {languages.of_option("--name", code): its for code, its in pairs.items()}


def _codes(given: Sequence[str]) -> tuple[str, ...]:
    from lowres import languages

    return tuple(dict.fromkeys(languages.of_option("--lang", code) for code in given))


def _one(option: str, given: str, *known: str) -> str:
    if given not in known:
        raise DataError(f"{option} {given}: expected {', '.join(known[:-1])} or {known[-1]}")
    return given
