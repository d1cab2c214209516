"""`lowres suggest`: which sources and bases to try for a language, and what to do first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import LowresError

if TYPE_CHECKING:
    from rich.table import Table

    from lowres.source_views import Suggestion

SHOWN = 10
"""Sources in the table; `--json` has all."""
FIGURES = frozenset(
    ("examples", "standing", "apart", "letters", "lines", "pieces a word", "English's", "unknown")
)
"""Columns of numbers."""


@guarded
def suggest(
    target: Annotated[str, typer.Option(help="Language to transfer to, e.g. xho_Latn.")],
    text: Annotated[
        Path | None, typer.Option(help="UTF-8 text of it, one sentence a line.")
    ] = None,
    labelled: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled examples of a possible source, or of the target: zul_Latn=FILE, or a "
            "file in a folder of that name; again for more."
        ),
    ] = None,
    parallel: Annotated[
        list[str] | None,
        typer.Option(help="Translation of --text, line by line: zul_Latn=FILE; again for more."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification, pairs or tagging; chooses the record.")
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="A base's name, Hub id or folder; again to compare. Default: all of "
            "`lowres ls bases`, read as far as they are on this disk."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
    more: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")] = None,
) -> None:
    """Rank source languages and bases for a target, with the reasons, and say what to do first."""
    if more:
        raise LowresError(
            f"{more[0]}: expected an option before it; those that take several are repeated, one "
            "each: --labelled ONE --labelled OTHER"
        )
    from lowres import advisor, quiet, source_views
    from lowres.progress import Terminal

    quiet.libraries()
    said = advisor.advise(
        target, text, labelled or [], parallel or [], task, base or [], Terminal()
    )
    if as_json:
        typer.echo(json.dumps(source_views.plain(said), indent=1, ensure_ascii=False))
    else:
        _show(said)


def _show(said: Suggestion) -> None:
    from rich.console import Console

    from lowres import uriel
    from lowres.languages import describe

    console = Console()
    plain: Any = {"highlight": False, "markup": False, "soft_wrap": True}
    family = uriel.family(said.target)
    head = f"{describe(said.target).name} ({said.target})" + (f", {family}" if family else "")
    console.print(head, style="bold", **plain)
    if said.sources:
        console.print(_table(_source_rows(said)))
    left = len(said.sources) - SHOWN
    if left > 0:
        console.print(f"{left} more sources: --json", style="dim", **plain)
    for line in _legend(said):
        console.print(line, style="dim", **plain)
    console.print(_table(_base_rows(said)))
    for line in _bases_legend(said):
        console.print(line, style="dim", **plain)
    for number, step in enumerate(said.steps, 1):
        console.print(f"{number}. {step.word}: {step.why}", **plain)
        console.print(f"   {step.how}", style="dim", **plain)
    for note in said.notes:
        console.print(f"note: {note}", style="dim", **plain)


def _table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with their place before them; a column that is empty in all of them is left out."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    for name in columns:
        justify: Any = "right" if name in FIGURES else "left"
        # a name of the Hub or a folder may be long
        wraps = name == "source" or (name == "base" and max(len(row[name]) for row in rows) > 30)
        table.add_column(name, justify=justify, no_wrap=not wraps, overflow="fold")
    for place, row in enumerate(rows, 1):
        table.add_row(str(place), *(escape(row[name]) for name in columns))
    return table


def _source_rows(said: Suggestion) -> list[dict[str, str]]:
    from lowres import uriel
    from lowres.languages import describe

    own, script = uriel.family(said.target), said.target[-4:]
    rows = []
    for source in said.sources[:SHOWN]:
        family = source.family or ""
        measured, apart, shared = source.measured, source.distances.apart, source.shared
        known: dict[str, float | None] = {
            "examples": source.examples,
            "standing": None if measured is None else measured.standing,
            "apart": apart,
            "letters": None if shared is None else shared.letters,
            "lines": source.retrieval,
        }
        figures = {name: _figure(name, value) for name, value in known.items()}
        rows.append(
            {
                "source": f"{describe(source.code).name} ({source.code})",
                **figures,
                "family": "the same" if family and family == own else family,
                "script": source.code[-4:] if source.code[-4:] != script else "",
            }
        )
    return rows


def _base_rows(said: Suggestion) -> list[dict[str, str]]:
    seen = {True: "yes", False: "no", None: "not known"}
    rows = []
    for view in said.bases:
        row = {"base": view.name, "seen": seen[view.seen]}
        found = view.finding
        verdict = english = pieces = unknown = ""
        if found is not None:
            verdict, m = found.verdict.word, found.measured
            unknown = f"{m.unknown_share:.1%}"
            if m.fertility is not None and found.base.english.fertility is not None:
                pieces, english = f"{m.fertility:.2f}", f"{found.base.english.fertility:.2f}"
        figures = {"pieces a word": pieces, "English's": english, "unknown": unknown}
        rows.append({**row, "tokenizer": verdict, **figures})
    return rows


def _bases_legend(said: Suggestion) -> list[str]:
    lines = [f"seen: whether its pretraining had {said.target}"]
    unread = {view.unread for view in said.bases if view.unread is not None}
    every = all(view.unread for view in said.bases)
    which = "nothing else is said of them" if every else "no figures"
    lines += [f"{which}: {why}" for why in sorted(unread)]
    return lines


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "examples":
        return f"{value:,}"
    return f"{value:.0%}" if name == "lines" else f"{value:.2f}"


def _legend(said: Suggestion) -> list[str]:
    """What the columns that are there say, a line each."""
    from lowres import record
    from lowres.languages import describe

    measured = [s.measured for s in said.sources if s.measured is not None]
    lines = []
    if measured:
        # what a source is nearest to may be itself; most of them have the target's own nearest
        near = Counter((m.nearest, m.distance) for m in measured).most_common(1)[0][0]
        code, distance = near
        which = ", all alike"
        if distance is not None:
            far = ", and that is not near: take the order as a guess"
            which = f", near ones first; the nearest is {describe(code).name}"
            which += far if distance >= record.FAR else ""
        tables = {name for m in measured for name in m.tables}
        what = "; ".join(table.what for table in record.tables() if table.name in tables)
        lines.append(
            f"standing: how it did for {max(m.targets for m in measured)} targets that were "
            f"measured ({what}), 1 the best source and 0 the worst{which}"
        )
    if any(source.distances.apart is not None for source in said.sources):
        lines.append("apart: in family and place, 0 the same and 1 nothing in common")
    if any(source.shared for source in said.sources):
        lines.append("letters: how alike text and examples are in what words are made of, of 1")
    if any(source.retrieval is not None for source in said.sources):
        lines.append(f"lines: share of parallel lines that find each other in {said.bases[0].name}")
    return [*lines, *_order(said)]


def _order(said: Suggestion) -> list[str]:
    """What the order goes by, where it is more than one column."""
    from lowres.source_views import CLOSENESS, evidence

    kinds = {kind for source in said.sources for kind in evidence(source)}
    names = {"measured": "standing", "letters": "letters", "retrieval": "lines"}
    columns = [name for kind, name in names.items() if kind in kinds]
    apart = "closeness" in kinds and bool(columns)
    if apart and "measured" not in kinds:
        columns.append("apart")
    if len(columns) < 2 and not apart:
        return []
    tail = f"; apart counts {CLOSENESS:g} times as much" if "measured" in kinds and apart else ""
    return [f"order: by the mean of the places in {', '.join(columns)}{tail}"]
