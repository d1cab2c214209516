"""What translations bring at best: translate-train and translate-test with human translations.

    python benchmarks/translated.py run                  # every cell that is not there yet
    python benchmarks/translated.py run topics-sib200 --ways apart --seeds 1
    python benchmarks/translated.py run --quick          # a first look; kept apart
    python benchmarks/translated.py table

SIB-200 and NusaX are parallel: the same id is the same sentence in all languages, by people. Their
train files are the translations of the source's training examples, and the source's test file those
of the targets' test sets. So this is an upper bound: translate-train is training on the target's
own labelled data, and translate-test scores what the source scores. A machine's translations are
below both.

A cell is a recipe, a way (`apart`: a training a target; `together`: one for all) and a seed, with
e5-small. Its scores are added to benchmarks/results/translated.json as soon as they are there, and
its run folder is removed; what is in the file is not run again.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import cells
import real_data
import tables

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "translated.json"
RUNS = ROOT / "runs" / "translated"
QUICK = RUNS / "quick.json"
# not in the base's pretraining, of several scripts
TARGETS: dict[str, tuple[str, ...]] = {
    "topics-sib200": ("kin_Latn", "yor_Latn", "wol_Latn", "bho_Deva", "tzm_Tfng", "nqo_Nkoo"),
    "sentiment-nusax": ("ace_Latn", "bbc_Latn", "bug_Latn", "mad_Latn", "nij_Latn"),
}
SOURCES = {"topics-sib200": "eng_Latn", "sentiment-nusax": "indonesian"}
FILES = {
    "topics-sib200": ("sib200/{lang}/train.tsv", "sib200/{source}/test.tsv"),
    "sentiment-nusax": ("nusax/{lang}/train.csv", "nusax/{source}/test.csv"),
}
WAYS = ("apart", "together")
SYSTEMS = ("adapter", "translate-train", "translate-test", "tfidf", "tfidf-target")


def command(recipe: str, way: str, seed: int, out: Path, quick: bool) -> list[str]:
    """The `lowres run` of one cell."""
    data = os.path.relpath(real_data.DATA, ROOT)
    train, test = (f"{data}/{file}".replace("{source}", SOURCES[recipe]) for file in FILES[recipe])
    names = real_data.NUSAX.replace("data.names=", "translated.names=")
    targets = TARGETS[recipe][:1] if quick else TARGETS[recipe]
    return [
        *("lowres", "run", recipe, *real_data.overrides(recipe)),
        f"languages.targets=[{', '.join(targets)}]",
        f"translated.train={train}",
        f"translated.test={test}",
        *([names] if recipe == "sentiment-nusax" else []),
        f"translated.together={'true' if way == 'together' else 'false'}",
        "evaluate.baselines=[majority, tfidf, tfidf_target]",
        *(["train.steps=60", "train.learning_rate=1e-3", "train.checkpoint=last"] if quick else []),
        f"seeds={seed}",
        *("--out", str(out)),
    ]


def run_cell(recipe: str, way: str, seed: int, file: Path, quick: bool) -> None:
    """Train and score one cell, and keep its scores."""
    out = RUNS / f"{recipe}-{way}-{seed}{'-quick' if quick else ''}"
    words = command(recipe, way, seed, out, quick)
    results = real_data.results_of(words, out)
    cells.keep(file, {f"{recipe}/{way}/{seed}": row(results)})
    shutil.rmtree(out)


def row(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run: scores with intervals, and gains over zero-shot with theirs."""
    metric = real_data.metric_of(results)
    scores: dict[str, dict[str, list[float]]] = {}
    for each in results["scores"]:
        if each["metric"] == metric and each["system"] in SYSTEMS:
            figures = [round(each[key], 4) for key in ("value", "low", "high")]
            scores.setdefault(each["system"], {})[each["language"]] = figures
    gains: dict[str, dict[str, list[float]]] = {}
    for each in results["comparisons"]:
        if each["metric"] == metric and each["b"] in SYSTEMS[1:3]:
            # the results have the adapter less the other
            figures = [round(-each[key], 4) for key in ("delta", "high", "low")]
            gains.setdefault(each["b"], {})[each["language"]] = figures
    return {
        "metric": metric,
        "source": results["recipe"]["languages"]["source"],
        "targets": results["recipe"]["languages"]["targets"],
        "scores": scores,
        "gains": gains,
        "translations": [
            {key: each[key] for key in ("language", "use", "n", "in_test")}
            for each in results["translations"]
        ],
        "steps": results["seeds"][0]["steps"],
        "status": results["seeds"][0]["status"],
        "machine": tables.machine(),
    }


def table(kept: Mapping[str, Any]) -> list[str]:
    """A row a recipe, way and system: mean of the targets, and what is gained over zero-shot."""
    lines = [
        "| recipe | way | system | seeds | targets, mean | gain, points (each seed's, 95% of the "
        "first's) | least and most gain, by language |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for recipe in TARGETS:
        for way in WAYS:
            those = [kept[name] for name in sorted(kept) if name.startswith(f"{recipe}/{way}/")]
            lines += [
                f"| {recipe} | {way} | {line}"
                for system in SYSTEMS
                for line in _line(those, system)
            ]
    return lines


def _line(those: list[Mapping[str, Any]], system: str) -> list[str]:
    its = [cell for cell in those if system in cell["scores"]]
    if not its:
        return []
    means = [
        fmean(
            figures[0] for code, figures in cell["scores"][system].items() if code in _codes(cell)
        )
        for cell in its
    ]
    spread = f" ± {stdev(means):.3f}" if len(means) > 1 else ""
    begun = f"{system} | {len(its)} | {fmean(means):.3f}{spread} |"
    gains = [cell["gains"][system] for cell in its if system in cell["gains"]]
    if not gains:
        return [f"{begun} | |"]
    codes = [code for code in gains[0] if code != "targets"]
    each = [100 * fmean(gain[code][0] for code in codes) for gain in gains]
    whole = gains[0].get("targets", gains[0][codes[0]])
    by_language = {code: 100 * fmean(gain[code][0] for gain in gains) for code in codes}
    ordered = sorted(by_language, key=lambda code: by_language[code])
    shown = ", ".join(f"{value:+.1f}" for value in each)
    least, most = (f"{code} {by_language[code]:+.1f}" for code in (ordered[0], ordered[-1]))
    return [
        f"{begun} {fmean(each):+.1f} ({shown}; {100 * whole[1]:+.1f} to {100 * whole[2]:+.1f}) | "
        f"{least}, {most} |"
    ]


def _codes(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["targets"])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    does = parser.add_subparsers(dest="does", required=True)
    running = does.add_parser("run")
    running.add_argument("recipes", nargs="*", metavar="RECIPE", default=list(TARGETS))
    running.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    running.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    running.add_argument("--quick", action="store_true", help="one target, 60 steps, seed 1")
    showing = does.add_parser("table")
    showing.add_argument("--quick", action="store_true", help="of the first look")
    given = parser.parse_args()
    file = QUICK if given.quick else KEPT
    if given.does == "table":
        cells.show(file, table)
        return
    for seed in [1] if given.quick else given.seeds:
        for recipe in given.recipes:
            for way in given.ways[:1] if given.quick else given.ways:
                if f"{recipe}/{way}/{seed}" not in cells.read(file):
                    run_cell(recipe, way, seed, file, given.quick)


if __name__ == "__main__":
    main()
