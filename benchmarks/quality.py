"""What 8-bit and 4-bit weights cost in quality: the real-data recipes with none / 8bit / 4bit.

    python benchmarks/quality.py run                        # every cell that is not there yet
    python benchmarks/quality.py run sentiment-nusax --seeds 1
    python benchmarks/quality.py table

With e5-small, without baselines; the seeds of a recipe and quantization are one `lowres run`.
Scores are added to benchmarks/results/quality.json as soon as they are there, and the run folder
is removed; what is in the file is not run again. Losses are paired: same seed, same languages.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import cells
import real_data
import tables

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "quality.json"
RUNS = ROOT / "runs" / "quality"
RECIPES = ("sentiment-nusax", "topics-sib200", "pos-ud")
WEIGHTS = ("none", "8bit", "4bit")


def command(recipe: str, weights: str, seeds: list[int], out: Path) -> list[str]:
    """The `lowres run` of some seeds."""
    return [
        "lowres",
        "run",
        recipe,
        *real_data.overrides(recipe),
        f"base.quantization={weights}",
        "evaluate.baselines=[majority]",
        f"seeds={seeds}",
        "--out",
        str(out),
    ]


def run_seeds(recipe: str, weights: str, seeds: list[int]) -> None:
    """Train and score some seeds in one run, and keep their scores."""
    out = RUNS / "-".join([recipe, weights, *map(str, seeds)])
    results = real_data.results_of(command(recipe, weights, seeds, out), out)
    metric = real_data.metric_of(results)
    found = {}
    for seed in results["seeds"]:
        scores = {
            each["language"]: round(each["value"], 4)
            for each in results["scores"]
            if (each["system"], each["metric"], each["seed"]) == ("adapter", metric, seed["seed"])
        }
        found[f"{recipe}/{weights}/{seed['seed']}"] = {
            "metric": metric,
            "source": results["recipe"]["languages"]["source"],
            "scores": scores,
            "status": seed["status"],
            "machine": tables.machine(),
        }
    cells.keep(KEPT, found)
    shutil.rmtree(out)


def losses(kept: dict[str, Any], recipe: str, weights: str) -> list[dict[str, float]]:
    """Points lost against float32 weights, by language, one mapping a seed that both have."""
    found = []
    for name, cell in kept.items():
        study, side, seed = name.split("/")
        beside = kept.get(f"{recipe}/none/{seed}")
        if (study, side) != (recipe, weights) or beside is None:
            continue
        targets = [code for code in cell["scores"] if code not in cell["source"]]
        found.append(
            {code: 100 * (beside["scores"][code] - cell["scores"][code]) for code in targets}
        )
    return found


def table(kept: dict[str, Any]) -> list[str]:
    """A row a recipe and quantization: scores, mean loss with its spread over seeds, worst."""
    lines = [
        "| recipe | weights | seeds | targets, mean | mean loss, points (each seed's) "
        "| worst language (mean of seeds) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for recipe in RECIPES:
        for weights in WEIGHTS:
            those = [c for n, c in kept.items() if n.startswith(f"{recipe}/{weights}/")]
            if not those:
                continue
            mean = fmean(
                score
                for cell in those
                for code, score in cell["scores"].items()
                if code not in cell["source"]
            )
            line = f"| {recipe} | {weights} | {len(those)} | {mean:.3f} |"
            lost = losses(kept, recipe, weights)
            if weights == "none" or not lost:
                lines.append(f"{line} | |")
                continue
            each = [fmean(seed.values()) for seed in lost]
            by_language = {code: fmean(seed[code] for seed in lost) for code in lost[0]}
            worst = max(by_language, key=lambda code: by_language[code])
            spread = f" ± {stdev(each):.2f}" if len(each) > 1 else ""
            shown = ", ".join(f"{value:+.2f}" for value in each)
            lines.append(
                f"{line} {fmean(each):+.2f}{spread} ({shown}) | {worst} {by_language[worst]:+.1f} |"
            )
    for weights in WEIGHTS[1:]:
        found = [losses(kept, recipe, weights) for recipe in RECIPES]
        if all(found):
            means = [fmean(fmean(seed.values()) for seed in lost) for lost in found]
            count = f"mean of {len(means)} recipes"
            lines.append(f"| {count} | {weights} | | | {fmean(means):+.2f} | |")
    return lines


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = parser.add_subparsers(dest="does", required=True)
    running = does.add_parser("run")
    running.add_argument("recipes", nargs="*", metavar="RECIPE", default=list(RECIPES))
    running.add_argument("--weights", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    running.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    does.add_parser("table")
    given = parser.parse_args()
    if given.does == "table":
        cells.show(KEPT, table)
        return
    for recipe in given.recipes:
        for weights in given.weights:
            kept = cells.read(KEPT)
            missing = [seed for seed in given.seeds if f"{recipe}/{weights}/{seed}" not in kept]
            if missing:
                run_seeds(recipe, weights, missing)


if __name__ == "__main__":
    main()
