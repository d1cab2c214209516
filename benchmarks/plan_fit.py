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

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plan_accuracy
import plan_held_out
import tables

BOTH = ("hidden", "weights")
FIGURES = {"none": BOTH, "8bit": BOTH, "4bit": ("hidden",)}
"""What is chosen; 4 bits with both figures are foretold worse, as a note says."""
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

    def columns(self, names: Sequence[str]) -> list[float]:
        """One unit of each of these figures, relative to the peak."""
        return [self.holes[name] / self.measured for name in names]


def run_of(asked: plan_accuracy.Case, recipe: Any, measured: float) -> Run:
    """A case beside its measured peak; nothing is trained."""
    from lowres import footprint, peaks, plan

    case = plan.case_of(recipe)
    setting, longest = case.setting(), case.lengths.longest
    windows, layers = case.micro_batch, setting.layers
    stage = peaks.train_stage(case, windows)
    held = sum(stage.parts[part] for part in (peaks.WEIGHTS, peaks.TRAINED, peaks.TOKENIZER))
    copies = footprint.copies(setting)
    step = copies + footprint.scratch(setting, windows, longest)
    stays = copies if footprint.halved(setting) else 0.0
    return Run(
        asked.name,
        asked.quantization,
        asked.checkpointing,
        measured,
        plan_accuracy.planned(stage),
        held + step + layers * footprint.kept(setting, windows, longest),
        held + stays + footprint.reading(setting, peaks.dev_at_once(case), longest),
        {
            "hidden": windows * longest * layers * setting.shape.hidden / MB,
            "weights": layers * setting.shape.block / MB,
        },
    )


def chosen(runs: Sequence[Run], names: Sequence[str]) -> np.ndarray:
    """The figures that fit some runs of one quantisation best."""
    from scipy.optimize import nnls

    left = [(run.measured - run.counted) / run.measured for run in runs]
    found, _ = nnls(np.array([run.columns(names) for run in runs]), np.array(left))
    return np.asarray(found)


def foretold(run: Run, runs: Sequence[Run], names: Sequence[str]) -> float:
    """A run planned with what the others say, MB."""
    if run.checkpointing:
        return run.planned
    others = [one for one in like(run.quantization, runs) if one.name != run.name]
    holes = run.measured * float(np.dot(run.columns(names), chosen(others, names)))
    return max(run.counted + holes, run.reading)


def like(quantization: str, runs: Sequence[Run]) -> list[Run]:
    """Those that figures of a quantisation are chosen over."""
    return [run for run in runs if run.quantization == quantization and not run.checkpointing]


def all_runs(work: Path) -> list[Run]:
    """Everything that the two scripts have measured."""
    found = []
    sources = {"plan_accuracy": plan_accuracy.CASES, "plan_held_out": plan_held_out.CASES}
    for name, cases in sources.items():
        then = plan_accuracy.measured_then(plan_accuracy.KEPT.with_name(f"{name}.json"))
        for case, recipe in plan_accuracy.as_recipes(cases, work / name):
            found.append(run_of(case, recipe, then[case.name]))
    return found


def near(ratios: Sequence[float]) -> int:
    """How many are within 15%."""
    return sum(abs(ratio - 1) <= 0.15 for ratio in ratios)


def main() -> None:
    parser = tables.arguments(__doc__)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = all_runs(Path(folder))
    for quantization, names in FIGURES.items():
        figures = zip(names, chosen(like(quantization, runs), names), strict=True)
        said = ", ".join(f"{name} {value:.2f}" for name, value in figures)
        print(f"{quantization}: over all runs {said}", file=sys.stderr)
    rows = [
        tables.row(run.name, "MB", foretold(run, runs, FIGURES[run.quantization]), run.measured)
        for run in runs
    ]
    of_4_bits = like("4bit", runs)
    ratios = [foretold(run, runs, BOTH) / run.measured for run in of_4_bits]
    notes = [
        "planned: with figures that were chosen over the other runs of the same quantisation",
        f"{near([row['ratio'] for row in rows])} of {len(rows)} are within 15%",
        f"4bit with a figure for its weights too: {near(ratios)} of {len(ratios)}",
    ]
    tables.show(rows, asked.json, ("planned", "measured"), notes)


if __name__ == "__main__":
    main()
