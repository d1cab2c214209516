"""`lowres compare`: runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowres.cli_guard import guarded

if TYPE_CHECKING:
    from lowres.served import Gaps
    from lowres.side_by_side import Cell, Sides


@guarded
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Finished runs, or folders that evaluate made, the yardstick first."),
    ],
    by: Annotated[
        str | None,
        typer.Option(help="Who is served badly, one run or more: script, family, seen, fertility."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Set runs side by side: scores, and differences from the first by paired bootstrap.

    With --by: the targets of each run in groups, and how far each is from the best one.
    """
    from lowres import side_by_side

    if by is not None:
        gaps = side_by_side.grouped(runs, by)
        if as_json:
            typer.echo(json.dumps([asdict(each) for each in gaps], indent=1, ensure_ascii=False))
        else:
            _show_gaps(gaps)
        return
    found = side_by_side.compare(runs)
    if as_json:
        typer.echo(json.dumps(side_by_side.plain(found), indent=1, ensure_ascii=False))
    else:
        _show(found)


def _show(found: Sides) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from lowres import figures

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(figures.metric_name(found.metric))
    table.add_column("n", justify="right")
    for name in found.names:
        table.add_column(escape(name), justify="right")
    for line in found.lines:
        mean = line.language == "targets"
        label = "mean of the targets" if mean else line.language
        table.add_row(label, str(line.n), *map(_cell, line.cells), end_section=mean)
    table.add_row("strategy", "", *found.strategies, style="dim")
    rows: list[tuple[str, Sequence[float | None]]] = [
        ("seconds to train", found.seconds),
        ("peak memory, MB", found.peak_mb),
        ("GPU memory, MB", found.gpu_mb),
        ("trainable parameters", found.trainable),
    ]
    for what, values in rows:
        # only some machines have a GPU
        if what != "GPU memory, MB" or any(value is not None for value in values):
            table.add_row(what, "", *map(figures.whole, values), style="dim")
    console = Console()
    console.print(table)
    named = zip(found.names, found.seeds, strict=True)
    seeds = ", ".join(f"{n}: {'one adapter' if s is None else s}" for n, s in named)
    console.print(
        "Scores: mean over seeds. In points: difference from the first run with its 95% interval, "
        f"paired on the same examples, median seed by source dev ({escape(seeds)}). Seconds and "
        "memory: of training the task, mean over seeds.",
        style="dim",
        highlight=False,
    )
    for note in found.notes:
        console.print(escape(note), style="dim", highlight=False)
    if found.left_out:
        console.print(f"Not in all runs: {', '.join(found.left_out)}", style="dim")


def _cell(cell: Cell) -> str:
    from lowres import figures

    said = figures.number(cell.value)
    if cell.delta is None or cell.delta_low is None or cell.delta_high is None:
        return said
    delta, low, high = (
        f"{100 * v:+.1f}".replace("-", "−") for v in (cell.delta, cell.delta_low, cell.delta_high)
    )
    return f"{said}\n{delta} ({low} to {high})"


def _show_gaps(gaps: Sequence[Gaps]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from lowres import figures, served

    console = Console()
    for found in gaps:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(found.run))
        table.title_justify = "left"
        table.add_column(found.by)
        for heading in ("languages", figures.metric_name(found.metric), "95% interval", "gap"):
            table.add_column(heading, justify="right")
        table.add_column("lowest")
        for group in found.groups:
            table.add_row(
                escape(group.name),
                str(len(group.languages)),
                figures.number(group.mean),
                served.interval(group),
                figures.signed(group.gap) if group.gap else figures.MISSING,
                f"{group.lowest} {figures.number(group.lowest_score)}",
            )
        console.print(table)
    console.print(served.NOTE, style="dim", highlight=False)
