"""What a sweep gave, a row a cell: `sweep.json` and `sweep.csv`, which all else reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lowres import artifacts, figures, pipeline, predictions, stats
from lowres.artifacts import RunFolder
from lowres.recipe_loading import dump
from lowres.results import Results, Row
from lowres.sweeps.loading import Cell, shown

FILE, CSV = "sweep.json", "sweep.csv"
LEXICAL = ("tfidf", "lookup")


class CellRow(Row):
    """One run. Scores are of the headline metric, 0 to 1."""

    cell: str
    """Its folder, inside the sweep's."""
    recipe: str
    settings: dict[str, Any]
    """Key of the recipe -> value, of the keys that cells differ in."""
    state: Literal["done", "failed", "to do"]
    tries: int = 0
    """In the last call of the command; 0: it was done before."""
    error: str | None = None
    metric: str | None = None
    targets: int | None = None
    """Languages."""
    n: int | None = None
    """Test examples of all targets."""
    mean: float | None = None
    """Of the adapter over targets and trusted seeds."""
    low: float | None = None
    """`low`, `high`: 95% bootstrap interval of `mean` over test examples."""
    high: float | None = None
    sd: float | None = None
    """Over seeds."""
    seeds: int | None = None
    """Those that can be trusted."""
    baselines: dict[str, float] = Field(default_factory=dict)
    """System -> its mean over the targets."""
    dev: float | None = None
    """Mean source-dev score of all seeds: what a study aims at."""
    seconds: float | None = None
    """Of all stages."""
    doubts: tuple[str, ...] = ()
    """Why a score must not be trusted."""
    made_from: str | None = None
    """Hash of the run's `results.json`."""

    @property
    def lexical(self) -> tuple[str, float] | None:
        """The better one of TF-IDF and lookup: its name and mean over the targets."""
        found = [(self.baselines[name], name) for name in LEXICAL if name in self.baselines]
        return None if not found else (max(found)[1], max(found)[0])


class Chosen(Row):
    """The setting that a study prefers: by mean source dev, whatever the targets say."""

    cell: str
    settings: dict[str, Any]
    dev: float
    trials: int
    """Finished ones that it was chosen among."""


class Table(BaseModel):
    """The file `sweep.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str
    cells: list[CellRow]
    chosen: Chosen | None = None
    """Of a study with a finished trial."""
    versions: dict[str, str] = Field(default_factory=dict)


def is_done(cell: Cell, folder: Path) -> bool:
    """Whether the cell's run is finished. Raises `RunError` for a folder of something else."""
    RunFolder(folder).check(dump(cell.recipe))
    return (folder / "results.json").is_file()


def row(cell: Cell, folder: Path, tries: int, known: Sequence[CellRow] = ()) -> CellRow:
    """Of a finished run; taken from `known` where that was made from the same results."""
    made_from = artifacts.file_hash(folder / "results.json")[:16]
    for old in known:
        if (old.cell, old.made_from) == (cell.name, made_from):
            fresh = {"settings": dict(cell.settings), "recipe": cell.source, "tries": tries}
            return old.model_copy(update=fresh)
    results = Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))
    summary = figures.summarise(results)
    average = summary.averages.get(("targets", figures.ADAPTER))
    interval = _interval(results, summary, folder)
    return CellRow(
        cell=cell.name,
        recipe=cell.source,
        settings=dict(cell.settings),
        state="done",
        tries=tries,
        metric=summary.metric,
        targets=len(summary.targets),
        n=sum(each.n or 0 for each in summary.targets),
        mean=interval.value if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        sd=average.sd if average else None,
        seeds=len(summary.trusted_seeds),
        baselines={
            system: found.mean
            for system in summary.baselines
            if (found := summary.averages.get(("targets", system))) is not None
        },
        dev=fmean(seed.dev for seed in results.seeds),
        seconds=results.resources.seconds,
        doubts=tuple(pipeline.untrusted(results)),
        made_from=made_from,
    )


def unfinished(cell: Cell, tries: int = 0, error: str | None = None) -> CellRow:
    """Of a run that failed, or that is still to come."""
    return CellRow(
        cell=cell.name,
        recipe=cell.source,
        settings=dict(cell.settings),
        state="failed" if error is not None else "to do",
        tries=tries,
        error=error,
    )


def _interval(results: Results, summary: figures.Summary, folder: Path) -> stats.Interval | None:
    """Of the mean over targets and trusted seeds, by the run's own number of resamples."""
    tests = []
    for target in summary.targets:
        for seed in summary.trusted_seeds:
            file = predictions.path_of(
                folder / "evaluate" / "predictions", str(seed), target.language.code
            )
            with file.open(encoding="utf-8", newline="\n") as lines:
                answers = [json.loads(line) for line in lines]
            tests.append(([a["gold"] for a in answers], [a["predicted"] for a in answers]))
    if not tests:
        return None
    resamples = results.recipe["evaluate"]["bootstrap"]
    return stats.mean_score(summary.metric, tests, results.labels, resamples)


def read(out: Path) -> Table | None:
    """What an earlier call wrote; None for nothing, or nothing that can be read."""
    try:
        return Table.model_validate_json((out / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write(table: Table, out: Path) -> None:
    """`sweep.json` and `sweep.csv`. Raises `RunError` on a full disk."""
    artifacts.write_text(out / FILE, table.model_dump_json(by_alias=True, indent=1) + "\n")
    artifacts.write_text(out / CSV, as_csv(table))


def as_csv(table: Table) -> str:
    """A line a cell, a column a setting and a baseline."""
    settings = list(dict.fromkeys(key for row in table.cells for key in row.settings))
    systems = list(dict.fromkeys(name for row in table.cells for name in row.baselines))
    plain = ("state", "tries", "metric", "targets", "n", "mean", "low", "high", "sd", "seeds")
    after = ("dev", "seconds", "error")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["cell", "recipe", *settings, *plain, *systems, *after, "doubts"])
    for row in table.cells:
        writer.writerow(
            [
                row.cell,
                row.recipe,
                *(shown(row.settings[key]) if key in row.settings else "" for key in settings),
                *(getattr(row, key) for key in plain),
                *(row.baselines.get(name) for name in systems),
                *(getattr(row, key) for key in after),
                "; ".join(row.doubts),
            ]
        )
    return text.getvalue()
