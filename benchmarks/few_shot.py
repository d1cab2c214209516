"""What 50 labelled examples of a target bring over zero-shot: NusaX and SIB-200, unseen languages.

    python benchmarks/few_shot.py run                 # both sets, five draws; goes on where it was
    python benchmarks/few_shot.py run --share 1/2     # half of it, for one of two cores
    python benchmarks/few_shot.py run --together      # one training for all targets of a set
    python benchmarks/few_shot.py table

Targets are those of the shipped recipes that e5-small was not pretrained on, 50 examples balanced
by class; the same examples, steps and rates in both sets, chosen on dev sets by
few_shot_settings.py. What is in benchmarks/results/few_shot.json is not run again.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import cells
import numpy as np
import real_data
import tables

from lowres.recipe_loading import load

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "few_shot.json"
RUNS = ROOT / "runs" / "few-shot"
RECIPES = ("sentiment-nusax", "topics-sib200")
SEEN = real_data.SEEN | {"jav_Latn", "sun_Latn"}


def targets(recipe: str) -> list[str]:
    """The recipe's targets that the base has not seen."""
    return [code for code in load(recipe).languages.targets if code not in SEEN]


def command(recipe: str, given: argparse.Namespace, seed: int, out: Path) -> list[str]:
    """The `lowres run` of one cell."""
    return [
        "lowres",
        "run",
        recipe,
        *real_data.overrides(recipe),
        "base.quantization=none",
        f"languages.targets=[{', '.join(given.targets or targets(recipe))}]",
        f"languages.shots=[0, {given.shots}]",
        f"languages.draws={given.draws}",
        f"few_shot.together={str(given.together).lower()}",
        "evaluate.baselines=[majority, tfidf_target]",
        f"seeds={seed}",
        *given.override,
        "--out",
        str(out),
    ]


def cell_name(recipe: str, given: argparse.Namespace, seed: int) -> str:
    """`sentiment-nusax/apart/1`."""
    return f"{recipe}/{'together' if given.together else 'apart'}/{seed}"


def run_cell(recipe: str, given: argparse.Namespace, seed: int) -> None:
    """Train and score one cell, and keep its scores."""
    name = cell_name(recipe, given, seed)
    out = RUNS / name.replace("/", "-")
    words = command(recipe, given, seed, out)
    results = real_data.results_of(words, out)
    cells.keep(KEPT, {name: cell(results, given)})
    shutil.rmtree(out)


def cell(results: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Scores of one run: zero-shot, and every draw."""
    metric = real_data.metric_of(results)
    zero, few = {}, {}
    for each in results["scores"]:
        if each["metric"] != metric or each["role"] != "target":
            continue
        if each["system"] == "adapter":
            zero[each["language"]] = round(each["value"], 4)
        elif each["system"] == f"{given.shots}-shot":
            few.setdefault(each["language"], []).append(round(each["value"], 4))
    seconds = {s["name"].split("/")[0]: s["seconds"] for s in results["stages"]}
    return {
        "metric": metric,
        "shots": given.shots,
        "zero": zero,
        "few": few,
        "seconds": seconds,
        "few_shot": results["recipe"]["few_shot"],
        "machine": tables.machine(),
    }


def table(kept: dict[str, Any]) -> list[str]:
    """A row a language and set: zero-shot, with labels, points gained with the band of the draws;
    then the mean of all languages of a way."""
    lines = [
        "| set | way | language | zero-shot | 50 labels, mean of draws | points (2.5th to 97.5th "
        "percentile) | n |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    ways: dict[str, list[np.ndarray]] = {}
    for name, found in sorted(kept.items()):
        recipe, way, _ = name.split("/")
        for code, values in found["few"].items():
            gains = 100 * (np.asarray(values) - found["zero"][code])
            ways.setdefault(way, []).append(gains)
            lines.append(
                f"| {recipe} | {way} | {code} | {found['zero'][code]:.3f} | {fmean(values):.3f} | "
                f"{band(gains)} | {len(values)} |"
            )
    for way, gains in ways.items():
        draws = min(map(len, gains))
        means = np.mean([each[:draws] for each in gains], axis=0)
        lines.append(f"| all | {way} | mean of {len(gains)} | | | {band(means)} | {draws} |")
    return lines


def band(gains: np.ndarray) -> str:
    """`+9.1 (+7.0 to +11.2)`."""
    low, high = np.quantile(gains, (0.025, 0.975))
    return f"{gains.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = parser.add_subparsers(dest="does", required=True)
    running = does.add_parser("run")
    running.add_argument("recipes", nargs="*", metavar="RECIPE", default=list(RECIPES))
    running.add_argument("--share", default="1/1", metavar="K/N", help="the K-th of N parts")
    running.add_argument("--together", action="store_true")
    running.add_argument("--shots", type=int, default=50)
    running.add_argument("--draws", type=int, default=5)
    running.add_argument("--seeds", nargs="+", type=int, default=[1])
    running.add_argument("--targets", nargs="+", help="instead of all that are unseen")
    running.add_argument("--override", nargs="+", default=[], metavar="KEY=VALUE")
    does.add_parser("table")
    given = parser.parse_args()
    if given.does == "table":
        cells.show(KEPT, table)
        return
    part, parts = (int(number) for number in given.share.split("/"))
    asked = [(recipe, seed) for seed in given.seeds for recipe in given.recipes]
    for recipe, seed in asked[part - 1 :: parts]:
        if cell_name(recipe, given, seed) not in cells.read(KEPT):
            run_cell(recipe, given, seed)


if __name__ == "__main__":
    main()
