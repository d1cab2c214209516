"""How the bf16 figures of `HOLES` are chosen, and how well each run is foretold by the others.

    python benchmarks/plan_fit.py          # seconds: measures nothing
    python benchmarks/plan_fit.py --json

What plan_accuracy.py and plan_held_out.py have measured (benchmarks/results/) less what is counted
is laid to the holes that freed tensors leave on a processor's heap: bytes a token and layer of the
hidden width, bytes a weight of a layer, by least squares without negative figures, relative to the
peak. Planned here is each run with figures chosen over all other runs of its quantisation, so that
no run has a part in its own plan. Runs with checkpointing have no part at all: they are planned
with the figures of lowres/footprint.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import plan_accuracy
import plan_held_out
import tables
from base_memory import SIZES

FIGURES = {"none": ("hidden", "weights"), "8bit": ("hidden", "weights"), "4bit": ("hidden",)}
"""What is chosen. 4 bits: a weight's figure came out as nought beside the other one, and foretold
four of six left-out runs within 15%, the hidden width alone five."""
MB = 2.0**20


@dataclass(frozen=True)
class Run:
    """A measured run: its peak, what is counted of it, what the holes may grow with; MB."""

    name: str
    quantization: str
    checkpointing: bool
    measured: float
    planned: float
    counted: float
    reading: float
    holes: dict[str, float]

    def columns(self) -> list[float]:
        """One unit of each figure that is chosen, relative to the peak."""
        return [self.holes[name] / self.measured for name in FIGURES[self.quantization]]


def run_of(case: plan_accuracy.Case, base: str, data: Path, measured: float) -> Run:
    """A case beside its measured peak; nothing is trained."""
    from lowres import footprint, peaks

    asked: list[Any] = []
    train_stage = peaks.train_stage

    def watched(case: Any, micro_batch: int) -> Any:
        asked.append(case)
        return train_stage(case, micro_batch)

    with (
        mock.patch("lowres.plan.train_stage", watched),
        mock.patch.object(peaks, "train_stage", watched),
    ):
        stage = plan_accuracy.stage_of(plan_accuracy.recipe_of(case, base, data))
    setting, lengths = asked[0].setting(), asked[0].lengths
    windows = case.micro_batch or case.batch
    tokens, layers = windows * lengths.longest, setting.layers
    held = footprint.weights(setting) + footprint.trained(setting) + stage.parts["tokenizer"]
    step = footprint.copies(setting) + footprint.scratch(setting, windows, lengths.longest)
    at_once = min(peaks._dev_at_once(asked[0]), lengths.dev * lengths.longest)
    return Run(
        case.name,
        case.quantization,
        case.checkpointing,
        measured,
        plan_accuracy.planned(stage),
        held + step + layers * footprint.kept(setting, windows, lengths.longest),
        held + footprint.reading(setting, at_once, lengths.longest),
        {
            "hidden": tokens * layers * setting.shape.hidden / MB,
            "weights": layers * setting.shape.block / MB,
        },
    )


def chosen(runs: Sequence[Run]) -> np.ndarray:
    """The figures that fit some runs of one quantisation best."""
    from scipy.optimize import nnls

    left = [(run.measured - run.counted) / run.measured for run in runs]
    found, _ = nnls(np.array([run.columns() for run in runs]), np.array(left))
    return np.asarray(found)


def foretold(run: Run, runs: Sequence[Run]) -> float:
    """A run planned with what the others say, MB."""
    if run.checkpointing:
        return run.planned
    others = [one for one in like(run.quantization, runs) if one.name != run.name]
    holes = run.measured * float(np.dot(run.columns(), chosen(others)))
    return max(run.counted + holes, run.reading)


def like(quantization: str, runs: Sequence[Run]) -> list[Run]:
    """Those that figures of a quantisation are chosen over."""
    return [run for run in runs if run.quantization == quantization and not run.checkpointing]


def all_runs(work: Path) -> list[Run]:
    """Everything that the two scripts have measured."""
    found = []
    for name, cases in (
        ("plan_accuracy", plan_accuracy.CASES),
        ("plan_held_out", plan_held_out.CASES),
    ):
        file = tables.ROOT / "benchmarks" / "results" / f"{name}.json"
        rows = json.loads(file.read_text("utf-8"))["rows"]
        measured = {row["name"]: row["peer"] for row in rows}
        for number, case in enumerate(cases):
            base = case.base
            if base in SIZES:
                base = str(work / base)
                plan_accuracy.describe_base(Path(base), case.base)
            data = work / f"{name}-{number}"
            plan_accuracy.make_data(data, case)
            found.append(run_of(case, base, data, measured[case.name]))
    return found


def main() -> None:
    parser = tables.arguments(__doc__)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = all_runs(Path(folder))
    for quantization, names in FIGURES.items():
        figures = zip(names, chosen(like(quantization, runs)), strict=True)
        said = ", ".join(f"{name} {value:.2f}" for name, value in figures)
        print(f"{quantization}: over all runs {said}", file=sys.stderr)
    rows = [tables.row(run.name, "MB", foretold(run, runs), run.measured) for run in runs]
    near = sum(abs(row["ratio"] - 1) <= 0.15 for row in rows)
    notes = [
        "planned: with figures that were chosen over the other runs of the same quantisation",
        f"{near} of {len(rows)} are within 15%",
    ]
    tables.show(rows, asked.json, ("planned", "measured"), notes)


if __name__ == "__main__":
    main()
