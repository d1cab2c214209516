"""The order of a sweep: what is done is left alone, what fails is tried again, what it all gave is
one table, written anew after every cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from lowres import artifacts, figures, pipeline
from lowres.errors import RunError
from lowres.progress import Progress
from lowres.scoring import versions
from lowres.sweeps import loading, sources, table
from lowres.sweeps.attempts import Outcome, Pool
from lowres.sweeps.loading import Cell, Plan
from lowres.sweeps.sources import Drawn, Grid, Source
from lowres.sweeps.table import CellRow, Table

FAILURES = "failures"
LOCK = ".sweep.lock"

Open = Callable[[int, Sequence[Cell]], Pool]
"""A pool for so many cells, and which: of a study those at the ends of its space. Called when the
first one has to be run, not before."""


def folder(plan: Plan, out: Path | None) -> Path:
    """Where a sweep lives: `out`, or `runs/<name>`."""
    return out if out is not None else pipeline.RUNS / plan.sweep.name


@dataclass
class _Sweep:
    plan: Plan
    out: Path
    progress: Progress
    source: Source
    known: tuple[CellRow, ...]
    rows: dict[str, CellRow] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def record(self, cell: Cell, error: str | None = None) -> None:
        """Tell the source and write the table."""
        tries = self.tries.get(cell.name, 0)
        if error is None:
            row = table.row(cell, self.out / cell.name, tries, self.known)
        else:
            row = table.unfinished(cell, tries, error)
        self.rows[cell.name] = row
        self.source.tell(row)
        table.write(self.table(), self.out)

    def table(self) -> Table:
        """As far as it is known."""
        rows = [row for row in self.rows.values() if row.state != "to do" or row.tries == 0]
        chosen = self.source.chosen()
        return Table(
            schema=1, name=self.plan.sweep.name, cells=rows, chosen=chosen, versions=versions()
        )


def run(plan: Plan, out: Path, open_pool: Open, progress: Progress) -> Table:
    """Run every cell that is not done.

    Args:
        plan: the sweep.
        out: its folder; runs lie in it as `<recipe>-<digest>`.
        open_pool: makes the pool; it gets the number of cells that may be run at once, and cells.
        progress: where to tell how it goes.

    Raises:
        LowresError: the user must change something; another process runs this sweep.
        KeyboardInterrupt: after what runs has been saved; the same call goes on.
    """
    cells = loading.cells(plan)
    for cell in cells:
        table.is_done(cell, out / cell.name)
    with _locked(out):
        known = table.read(out)
        source: Source = Grid(cells) if plan.sweep.study is None else Drawn(plan, cells, out)
        sweep = _Sweep(plan, out, progress, source, tuple(known.cells) if known else ())
        _take_over(sweep, cells)
        left = _left(plan, cells, out)
        most = plan.sweep.study.trials if plan.sweep.study is not None else len(left)
        _go_on(sweep, lambda: open_pool(most, left))
        found = sweep.table()
        table.write(found, out)
    return found


def foretell(plan: Plan, out: Path) -> Table:
    """What `run` would find done and what it would run; of a study what is done alone. Nothing is
    written."""
    cells = loading.cells(plan)
    if plan.sweep.study is not None:
        known = table.read(out)
        return known or Table(schema=1, name=plan.sweep.name, cells=[])
    known = table.read(out)
    rows = tuple(known.cells) if known else ()
    made = [
        table.row(cell, out / cell.name, 0, rows)
        if table.is_done(cell, out / cell.name)
        else table.unfinished(cell)
        for cell in cells
    ]
    return Table(schema=1, name=plan.sweep.name, cells=made)


def _take_over(sweep: _Sweep, cells: list[Cell]) -> None:
    """The rows in the order of the table; a study's finished trials with what they gave."""
    if not isinstance(sweep.source, Drawn):
        sweep.rows = {cell.name: table.unfinished(cell) for cell in cells}
        return
    for cell in sweep.source.before():
        if table.is_done(cell, sweep.out / cell.name):
            sweep.record(cell)


def _left(plan: Plan, cells: list[Cell], out: Path) -> list[Cell]:
    """Cells that are to be run; of a study all at the ends of its space: others will be drawn."""
    if plan.sweep.study is not None:
        return cells
    return [cell for cell in cells if not table.is_done(cell, out / cell.name)]


def _go_on(sweep: _Sweep, open_pool: Callable[[], Pool]) -> None:
    pool: Pool | None = None
    running = 0
    graceful = True
    try:
        while True:
            cell = None if pool is not None and running >= pool.size else sweep.source.take()
            if cell is not None:
                if table.is_done(cell, sweep.out / cell.name):
                    sweep.progress.say(f"{cell.name}: done before ({cell.label})")
                    sweep.record(cell)
                    continue
                pool = pool or open_pool()
                _start(sweep, pool, cell)
                running += 1
                continue
            if pool is None or running == 0:
                return
            if not _finished(sweep, pool, *pool.next()):
                running -= 1
    except Exception:
        graceful = False
        raise
    finally:
        if pool is not None:
            pool.close(graceful=graceful)


def _start(sweep: _Sweep, pool: Pool, cell: Cell) -> None:
    sweep.tries[cell.name] = sweep.tries.get(cell.name, 0) + 1
    sweep.progress.say(f"{cell.name}: started ({cell.label})")
    pool.start(cell)


def _finished(sweep: _Sweep, pool: Pool, cell: Cell, outcome: Outcome) -> bool:
    """Take down how a try ended; whether it was started again."""
    if outcome.interrupted:
        raise KeyboardInterrupt
    trace = sweep.out / FAILURES / f"{cell.name}.txt"
    if outcome.error is None:
        trace.unlink(missing_ok=True)
        sweep.record(cell)
        row = sweep.rows[cell.name]
        done = sum(each.state == "done" for each in sweep.rows.values())
        of = f" of {len(sweep.rows)}" if isinstance(sweep.source, Grid) else ""
        sweep.progress.say(
            f"{cell.name}: done, {done}{of}: source dev {figures.number(row.dev)}, "
            f"targets {figures.number(row.mean)}, {figures.duration(row.seconds or 0.0)}"
        )
        return False
    trace.parent.mkdir(exist_ok=True)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    artifacts.write_text(trace, f"{stamp}, try {sweep.tries[cell.name]}\n{outcome.trace}\n")
    if not outcome.hopeless and sweep.tries[cell.name] <= sweep.plan.sweep.retries:
        sweep.progress.say(f"{cell.name}: failed, is tried again: {outcome.error}")
        _start(sweep, pool, cell)
        return True
    sweep.progress.say(f"{cell.name}: failed: {outcome.error} (traceback: {trace})")
    sweep.record(cell, outcome.error)
    return False


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the sweep's folder; whoever leaves before the first run leaves nothing behind.

    Raises `RunError` where another process holds it.
    """
    made = [one for one in (out, *out.parents) if not one.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise artifacts.disk_error(error, out) from error
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"{out}: another process runs this sweep here; wait for it, or give --out another "
            "folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
        if {entry.name for entry in out.iterdir()} <= {LOCK, sources.LOG}:
            for entry in list(out.iterdir()):
                entry.unlink()
            for one in made:
                if not any(one.iterdir()):
                    one.rmdir()
