"""What `train.strategy` brings: every strategy on two data sets, e5-small in float, three seeds.

    python benchmarks/strategies.py tune    # rates, by source dev alone; goes on where it was
    python benchmarks/strategies.py run     # every strategy with its rates; goes on where it was
    python benchmarks/strategies.py table   # what was measured, as Markdown

Two processes of one thread each work side by side (`--workers`). A cell is one data set and one
strategy: an ordinary run folder under `--work`, which resumes. To fit an hour on two cores, five
targets of SIB-200 and of NusaX stand for all, and epochs are 5 and 6. Targets are never looked at
in `tune`. Rates that were found and rows lie in `--rows`, one file, written anew after each cell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tables import machine

from lowres import bases, data, figures, hardware, pipeline, side_by_side
from lowres.progress import Silent
from lowres.recipe import Recipe
from lowres.recipe_loading import Override, load
from lowres.results import Results
from lowres.train import train

SHARED = os.environ.get("LOWRES_DATA", "../shared/data")
NUSAX = {
    "ind_Latn": "indonesian",
    "ace_Latn": "acehnese",
    "bug_Latn": "buginese",
    "jav_Latn": "javanese",
    "mad_Latn": "madurese",
    "min_Latn": "minangkabau",
}
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "SIB-200 topics": (
        "topics-sib200",
        {
            "data.files": f"{SHARED}/sib200/{{lang}}/{{split}}.tsv",
            "languages.targets": ["swh_Latn", "hin_Deva", "kin_Latn", "yor_Latn", "wol_Latn"],
            "train.epochs": 5,
        },
    ),
    "NusaX sentiment": (
        "sentiment-nusax",
        {
            "data.files": f"{SHARED}/nusax/{{lang}}/{{split}}.csv",
            "data.names": NUSAX,
            "data.labels": {},
            "languages.targets": [code for code in NUSAX if code != "ind_Latn"],
            "train.epochs": 6,
        },
    ),
}
COMMON = {
    "base.name": "e5-small",
    "base.quantization": "none",
    # the best epoch by source dev, for all alike
    "train.checkpoint": "best",
    "evaluate.baselines": ["majority", "tfidf", "probe"],
}
RATES, HEAD = "train.learning_rate", "train.head_learning_rate"
OF_LORA = [{RATES: rate, HEAD: head} for rate in (3e-4, 6e-4) for head in (1e-3, 3e-3)]
OF_HEAD = [{HEAD: rate} for rate in (1e-2, 3e-2, 1e-1)]
OF_FULL = [{RATES: rate, HEAD: 10 * rate} for rate in (1e-5, 2e-5, 5e-5)]
STRATEGIES: dict[str, tuple[dict[str, Any], list[dict[str, float]]]] = {
    "lora": ({}, OF_LORA),
    "gradual": ({"train.strategy": "gradual"}, OF_LORA),
    "layer_decay": ({"train.layer_decay": 0.9}, OF_LORA),
    "full": ({"train.strategy": "full"}, OF_FULL),
    "head": ({"train.strategy": "head"}, OF_HEAD),
    "probe": ({"train.strategy": "probe"}, OF_HEAD),
}
"""The keys that make each one, and the rates that are tried."""


def recipe_of(chosen: str, strategy: str, rates: dict[str, float], **keys: Any) -> Recipe:
    """A data set's recipe with a strategy."""
    name, its = SETS[chosen]
    own, _ = STRATEGIES[strategy]
    changed = {**COMMON, **its, **own, **rates, **keys, "name": f"{name}-{strategy}"}
    return load(name, [Override(key, value, strategy) for key, value in changed.items()])


def read(file: Path) -> dict[str, Any]:
    """What is measured so far."""
    if not file.is_file():
        return {"machine": machine(), "tuned": [], "rows": []}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def trial(chosen: str, strategy: str, rates: dict[str, float], steps: int | None) -> dict[str, Any]:
    """Source dev after one training of seed 1; no target is read."""
    keys = {} if steps is None else {"train.steps": steps}
    recipe = recipe_of(chosen, strategy, rates, **keys)
    with tempfile.TemporaryDirectory() as work:
        outcome = train(
            recipe,
            1,
            data.load(recipe),
            bases.locate(recipe.base.name),
            hardware.detect(recipe.train.precision),
            Path(work),
            Silent(),
        )
    return {"dev": round(outcome.dev, 4), "status": outcome.status, "steps": outcome.steps}


def best(found: dict[str, Any], chosen: str, strategy: str) -> dict[str, float]:
    """The rates with the best source dev; of two equal ones the first."""
    tried = [
        row
        for row in found["tuned"]
        if (row["data"], row["strategy"]) == (chosen, strategy) and row["status"] == "ok"
    ]
    if not tried:
        sys.exit(f"{chosen}, {strategy}: no rates yet, or none that learn; first `tune`")
    top = max(tried, key=lambda row: row["dev"])
    rates: dict[str, float] = top["rates"]
    return rates


def row_of(folder: Path, results: Results, rates: dict[str, float]) -> dict[str, Any]:
    """What a finished run says; `vs_lora` is added by `compared`."""
    summary = figures.summarise(results)
    wanted = ("adapter", summary.metric, "targets")
    # none where no seed can be trusted
    mean = next((a for a in results.averages if (a.system, a.metric, a.over) == wanted), None)
    trainings = [stage for stage in results.stages if stage.name.startswith("train/")]
    tested = {(score.language, score.n) for score in results.scores if score.role == "target"}
    return {
        "rates": rates,
        "metric": summary.metric,
        "dev": round(sum(seed.dev for seed in results.seeds) / len(results.seeds), 4),
        "mean": None if mean is None else round(mean.mean, 4),
        "sd": None if mean is None or mean.sd is None else round(mean.sd, 4),
        "seeds": 0 if mean is None else mean.seeds,
        "languages": len(summary.targets),
        "n": sum(count for _, count in tested),
        "scores": {
            one.language.code: None if one.adapter is None else round(one.adapter.value, 4)
            for one in (*summary.sources, *summary.targets)
        },
        "train_seconds": round(sum(stage.seconds for stage in trainings) / len(trainings), 1),
        "peak_mb": max(stage.peak_mb for stage in trainings),
        "trainable": results.base.trainable_parameters,
        "run": folder.name,
    }


def compared(rows: list[dict[str, Any]], work: Path) -> None:
    """Add the paired difference from LoRA with its 95% interval."""
    for row in rows:
        lora = next((r for r in rows if (r["data"], r["strategy"]) == (row["data"], "lora")), None)
        both = lora is not None and lora["seeds"] and row["seeds"]
        if both and row is not lora and "vs_lora" not in row:
            sides = side_by_side.compare([work / lora["run"], work / row["run"]])
            cell = sides.lines[-1].cells[1]
            row["vs_lora"] = [cell.delta, cell.delta_low, cell.delta_high]


def table(found: dict[str, Any]) -> None:
    """Markdown."""
    for chosen in SETS:
        rows = [row for row in found["rows"] if row["data"] == chosen]
        if not rows:
            continue
        first = rows[0]
        print(
            f"\n{chosen}: {first['metric']}, mean of {first['languages']} targets "
            f"({first['n']:,} test examples)\n"
        )
        print(
            "| strategy | targets | against lora, points (95%) | source dev | s a seed | peak MB | "
            "trained weights | rate / head's |\n|---|---:|---:|---:|---:|---:|---:|---:|"
        )
        order = list(STRATEGIES)
        for row in sorted(rows, key=lambda each: order.index(each["strategy"])):
            sd = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
            low = row.get("vs_lora")
            delta = "–" if low is None else "{:+.1f} ({:+.1f} to {:+.1f})".format(
                *(100 * value for value in low)
            )  # fmt: skip
            rates = " / ".join(f"{row['rates'].get(key, 0):.0e}" for key in (RATES, HEAD))
            trusted = "" if row["seeds"] == 3 else f" ({row['seeds']} seeds)"
            print(
                f"| {row['strategy']} | {row['mean'] or 0:.3f}{sd}{trusted} | {delta} | "
                f"{row['dev']:.3f} | {row['train_seconds']:.0f} | {row['peak_mb']:,.0f} | "
                f"{row['trainable']:,} | {rates} |"
            )


def cell(given: argparse.Namespace) -> dict[str, Any]:
    """One training of `tune`, or one run; in a process of its own its memory is its own."""
    asked = json.loads(given.cell)
    if asked["what"] == "tune":
        return trial(asked["data"], asked["strategy"], asked["rates"], given.steps)
    keys = {} if given.steps is None else {"train.steps": given.steps}
    recipe = recipe_of(asked["data"], asked["strategy"], asked["rates"], seeds=given.seeds, **keys)
    folder = pipeline.run_folder(recipe, given.work / pipeline.run_folder(recipe).name)
    return row_of(folder, pipeline.run(recipe, folder), asked["rates"])


def cells(given: argparse.Namespace, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What is still to do."""
    pairs = [(d, s) for d in given.data or SETS for s in given.only or STRATEGIES]
    if given.what == "run":
        done = {(row["data"], row["strategy"]) for row in found["rows"]}
        return [
            {"what": "run", "data": d, "strategy": s, "rates": best(found, d, s)}
            for d, s in pairs
            if (d, s) not in done
        ]
    every = [
        {"what": "tune", "data": d, "strategy": s, "rates": rates}
        for d, s in pairs
        for rates in STRATEGIES[s][1]
    ]
    known = [{key: row[key] for key in ("data", "strategy", "rates")} for row in found["tuned"]]
    return [one for one in every if {k: v for k, v in one.items() if k != "what"} not in known]


def in_a_process(asked: dict[str, Any], words: Sequence[str]) -> dict[str, Any] | None:
    """A cell's figures; None, and a line, where it failed."""
    command = [sys.executable, __file__, *words, "--cell", json.dumps(asked)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{asked}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Tune, run or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tune", "run", "table"))
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results/strategies.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", nargs="*", choices=list(SETS))
    parser.add_argument("--only", nargs="*", choices=list(STRATEGIES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="a try: so few steps")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print(json.dumps(cell(given)))
        return
    found = read(given.rows)
    if given.what != "table":
        given.rows.parent.mkdir(parents=True, exist_ok=True)
        todo = cells(given, found)
        with ThreadPoolExecutor(given.workers) as pool:
            begun = {pool.submit(in_a_process, one, sys.argv[1:]): one for one in todo}
            for done in as_completed(begun):
                asked, figures_of_it = begun[done], done.result()
                if figures_of_it is not None:
                    kept = "tuned" if asked.pop("what") == "tune" else "rows"
                    found[kept].append({**asked, **figures_of_it})
                    compared(found["rows"], given.work)
                    given.rows.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                    print(json.dumps(found[kept][-1]), flush=True)
    table(found)


if __name__ == "__main__":
    main()
