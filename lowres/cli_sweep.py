"""`lowres sweep`: many runs side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowres.cli_guard import guarded
from lowres.errors import LowresError

if TYPE_CHECKING:
    from lowres.progress import Progress
    from lowres.sweeps.loading import Cell, Plan
    from lowres.sweeps.running import Open
    from lowres.sweeps.table import CellRow, Table

MAX_WIDTH = 9
"""Letters that a setting's column does not give up where the terminal is narrow."""


@guarded
def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep's .yaml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key.path=value of the recipe, for all runs, e.g. base.name=e5-small"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the runs; default runs/<name>.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Instead of the file's workers.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster, e.g. ray://head:10001, or auto.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="In this process, one after another, without Ray.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and which are done; run none.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Run recipes x settings x seeds, here or on a cluster. Goes on where it stopped."""
    from lowres.sweeps import loading, running

    plan = _changed(loading.load(file, overrides or []), workers, address, local)
    folder = running.folder(plan, out)
    found = running.foretell(plan, folder) if dry_run else _run(plan, folder)
    if as_json:
        typer.echo(found.model_dump_json(by_alias=True, indent=1))
    else:
        _show(plan, found, folder, dry_run)
    if not dry_run and any(row.state == "failed" or row.doubts for row in found.cells):
        raise typer.Exit(3)


def _changed(plan: Plan, workers: int | None, address: str | None, local: bool) -> Plan:
    """The sweep with what the command line says of its workers."""
    from dataclasses import replace

    if local and (address is not None or workers):
        raise LowresError("--local runs in this process; leave --workers and --address out")
    update: dict[str, object] = {"workers": 0, "address": None} if local else {}
    if workers is not None:
        update["workers"] = workers
    if address is not None:
        update["address"] = address
    changed = plan.sweep.model_copy(update=update)
    if changed.workers == 0 and changed.address is not None:
        raise LowresError(
            f"workers 0 run in this process, not at address {changed.address}; leave one of them "
            "out, or give --local"
        )
    return replace(plan, sweep=changed)


def _run(plan: Plan, folder: Path) -> Table:
    from lowres.interrupts import Presses
    from lowres.progress import Terminal
    from lowres.sweeps import running

    presses = Presses()
    progress = Terminal(presses.check)
    with presses.watched():
        return running.run(plan, folder, _pool(plan, folder, progress, presses.check), progress)


def _pool(plan: Plan, folder: Path, progress: Progress, check: Callable[[], None]) -> Open:
    from lowres.sweeps.attempts import Pool

    def opened(most: int, cells: Sequence[Cell]) -> Pool:
        if plan.sweep.workers == 0:
            from lowres import quiet
            from lowres.sweeps.attempts import Here

            quiet.libraries()
            return Here(lambda cell: folder / cell.name, progress)
        from lowres.sweeps import on_ray

        pool = on_ray.open_pool(plan.sweep, folder, most, cells, check)
        where = plan.sweep.address or "this machine"
        bound = f" ({pool.bound})" if pool.bound else ""
        progress.say(f"Ray on {where}: {pool.size} worker{'s' * (pool.size != 1)}{bound}")
        return pool

    return opened


def _show(plan: Plan, found: Table, folder: Path, dry_run: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Drawing

    console = Console()
    rows = found.cells
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    many = len(plan.sweep.recipe) > 1 or not keys
    drawn = Drawing(box=box.SIMPLE_HEAD, pad_edge=False)
    if many:
        drawn.add_column("recipe", overflow="fold")
    for key in keys:
        heading = _short(key, keys)
        values = [_value(row.settings[key]) for row in rows if key in row.settings]
        width = min(MAX_WIDTH, max(map(len, [heading, *values])))
        drawn.add_column(escape(heading), overflow="fold", min_width=width)
    for name in ("targets\n(95%)", "n", "lexical\nmajority", "source\ndev", "time"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    for row in rows:
        chosen = found.chosen is not None and found.chosen.cell == row.cell
        head = [row.recipe] if many else []
        values = [_value(row.settings[key]) if key in row.settings else "" for key in keys]
        cells = [escape(text) for text in (*head, *values, *_figures(row), _state(row))]
        drawn.add_row(*cells, style="bold" if chosen else None)
    if rows:
        console.print(drawn)
    for line in _notes(plan, found, folder, dry_run):
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


def _short(key: str, keys: list[str]) -> str:
    """The last word of a key, where no other key ends in it."""
    last = key.rpartition(".")[2]
    return last if sum(each.rpartition(".")[2] == last for each in keys) == 1 else key


def _value(value: object) -> str:
    """As `shown`, but lists without brackets, and long ones cut: the CSV has them whole."""
    from lowres.sweeps.loading import shown

    if not isinstance(value, list | tuple):
        return shown(value)
    more = f" and {len(value) - 3} more" if len(value) > 3 else ""
    return ", ".join(map(shown, value[:3])) + more


def _figures(row: CellRow) -> Iterator[str]:
    from lowres import figures

    if row.mean is None:
        yield figures.MISSING
    else:
        yield "{}\n{}–{}".format(*map(figures.number, (row.mean, row.low, row.high)))
    yield figures.whole(row.n)
    lexical = row.lexical[1] if row.lexical else None
    yield "\n".join(map(figures.number, (lexical, row.baselines.get("majority"))))
    yield figures.number(row.dev)
    took = figures.MISSING if row.seconds is None else figures.duration(row.seconds)
    # `9 min 26 s` in two lines
    yield re.sub(r" (?=\d)", "\n", took)


def _state(row: CellRow) -> str:
    state = "doubtful" if row.doubts else row.state
    return f"{state}, try {row.tries}" if row.tries > 1 else state


def _notes(plan: Plan, found: Table, folder: Path, dry_run: bool) -> Iterator[str]:
    from lowres import figures
    from lowres.sweeps import table
    from lowres.sweeps.loading import shown

    count = {name: sum(row.state == name for row in found.cells) for name in ("done", "to do")}
    if plan.sweep.study is not None:
        if dry_run:
            yield f"{count['done']} of {plan.sweep.study.trials} trials done"
        if found.chosen is not None:
            setting = " ".join(f"{k}={shown(v)}" for k, v in found.chosen.settings.items())
            yield (
                f"Chosen: {setting}, by mean source dev ({found.chosen.dev:.3f}) among "
                f"{figures.plural(found.chosen.trials, 'setting')}; the targets had no say."
            )
    elif dry_run:
        yield f"{count['done']} of {len(found.cells)} runs done, {count['to do']} to do"
    for row in found.cells:
        if row.error is not None:
            yield f"{row.cell}: failed at try {row.tries}: {row.error}"
        if row.doubts:
            more = f" (and {len(row.doubts) - 1} more: see its report)" if row.doubts[1:] else ""
            yield f"{row.cell}: not to be trusted: {row.doubts[0]}{more}"
    metrics = sorted({figures.metric_name(row.metric) for row in found.cells if row.metric})
    if metrics:
        yield (
            f"Scores ({figures.joined(metrics)}): the adapter's mean over targets and trusted "
            "seeds, its interval over test examples; lexical: the better of TF-IDF and lookup, "
            "above majority; "
            "source dev: the mean of all seeds."
        )
    yield f"runs: {folder}" + ("" if dry_run else f"; table: {folder / table.FILE}, {table.CSV}")
