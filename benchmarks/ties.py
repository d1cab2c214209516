"""Which of several epochs with the best score on source dev to keep: the first, or the last.

    python benchmarks/ties.py run                     # every cell that is not there yet
    python benchmarks/ties.py run quickstart --seeds 1
    python benchmarks/ties.py table

A small dev set gives the same score to many epochs. A cell is a data set and a seed: one training
of the recipe with `train.checkpoint: best`, e5-small in float, whose weights are kept at every
epoch. Both choices are asked the dev sets of the targets, never a test set, so that the difference
is paired; where the best score stands once there is none. Cells are added to
benchmarks/results/ties.json as soon as they are there.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import cells
import real_data
import tables
from few_shot_settings import dev_of

from lowres import adapter_files, bases, data, hardware, inference, stats
from lowres.progress import Silent
from lowres.recipe import Recipe
from lowres.recipe_loading import load
from lowres.shared import Shared
from lowres.source_dev import SourceDev, chosen_metric
from lowres.train import train

KEPT = Path(__file__).resolve().parent / "results" / "ties.json"
TAGS = (
    "task.name=tagging",
    "data.columns={tokens: tokens, tags: tags}",
    "train.epochs=20",
    "train.head_learning_rate=0.01",
)
SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "quickstart": ("quickstart", ()),
    "quickstart, entities": ("quickstart", TAGS),
    "sentiment-nusax": ("sentiment-nusax", ()),
    "topics-sib200": (
        "topics-sib200",
        ("languages.targets=[swh_Latn, hin_Deva, kin_Latn, yor_Latn, wol_Latn]",),
    ),
}


class Watched:
    """What was scored on source dev, with the weights of that moment."""

    def __init__(self) -> None:
        self.network: Any = None
        self.scores: list[float] = []
        self.weights: list[dict[str, Any]] = []
        self._score = SourceDev.score

    def __enter__(self) -> Watched:
        def score(dev: SourceDev, network: Any) -> float:
            from peft import get_peft_model_state_dict

            found = self._score(dev, network)
            state = get_peft_model_state_dict(network, save_embedding_layers=False)
            self.network = network
            self.scores.append(found)
            self.weights.append({name: value.detach().clone() for name, value in state.items()})
            return found

        SourceDev.score = score  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        SourceDev.score = self._score  # type: ignore[method-assign]


def recipe_of(name: str) -> Recipe:
    """A data set's recipe."""
    recipe, more = SETS[name]
    local = real_data.overrides(recipe) if recipe in real_data.LOCAL else ()
    return load(recipe, [*local, *more, "base.quantization=none", "train.checkpoint=best"])


def measure(name: str, seed: int) -> dict[str, Any]:
    """One training; both choices on the targets' dev sets."""
    recipe = recipe_of(name)
    labelled, located = data.load(recipe), bases.locate(recipe.base.name)
    machine, shared = hardware.detect(recipe.train.precision), Shared()
    known = (recipe, seed, labelled, located, machine)
    with tempfile.TemporaryDirectory() as work, Watched() as watched:
        outcome = train(*known, Path(work), Silent(), shared=shared)
    best = max(watched.scores)
    places = [at for at, score in enumerate(watched.scores) if math.isclose(score, best)]
    tokenizer, labels = shared.tokenizer(located), labelled.labels
    sets = {code: dev_of(recipe, code) for code in recipe.languages.targets}
    found = {}
    for which, place in {"first": places[0], "last": places[-1]}.items():
        adapter_files.set_adapter(watched.network, watched.weights[place])
        answers = inference.predict_all(
            watched.network, tokenizer, recipe.task, labels, list(sets.values()), machine,
            recipe.train.max_tokens, recipe.evaluate.batch_tokens,
        )  # fmt: skip
        metric = chosen_metric(recipe, labels)
        found[which] = {
            code: round(
                stats.value_of(
                    metric, list(rows[recipe.task.gold_field]), [a.answer for a in said], labels
                ),
                4,
            )
            for (code, rows), said in zip(sets.items(), answers, strict=True)
        }
    return {
        **found,
        "metric": metric,
        "source_dev": [round(score, 4) for score in watched.scores],
        "epochs": [place + 1 for place in (places[0], places[-1])],
        "status": outcome.status,
        "retried": outcome.retried,
        "n": sum(len(rows) for rows in sets.values()),
        "machine": tables.machine(),
    }


def table(kept: dict[str, Any]) -> list[str]:
    """A row a data set: both choices, and the difference by seed."""
    lines = [
        "| data | seeds | targets, n | first of the best | last of the best | points (each seed's) "
        "| epochs, first and last |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in SETS:
        found = [cell for key, cell in sorted(kept.items()) if key.rpartition("/")[0] == name]
        if not found:
            continue
        first, last = (
            [fmean(cell[which].values()) for cell in found] for which in ("first", "last")
        )
        gains = [100 * (b - a) for a, b in zip(first, last, strict=True)]
        spread = f" ± {stdev(gains):.1f}" if len(gains) > 1 else ""
        each = ", ".join(f"{gain:+.1f}" for gain in gains)
        epochs = ", ".join(f"{cell['epochs'][0]} and {cell['epochs'][1]}" for cell in found)
        lines.append(
            f"| {name} | {len(found)} | {len(found[0]['first'])}, {found[0]['n']} | "
            f"{fmean(first):.3f} | {fmean(last):.3f} | {fmean(gains):+.1f}{spread} ({each}) | "
            f"{epochs} |"
        )
    return lines


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = parser.add_subparsers(dest="does", required=True)
    running = does.add_parser("run")
    running.add_argument("sets", nargs="*", metavar="SET", default=list(SETS))
    running.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    does.add_parser("table")
    given = parser.parse_args()
    if given.does == "table":
        cells.show(KEPT, table)
        return
    for name in given.sets:
        for seed in given.seeds:
            if f"{name}/{seed}" not in cells.read(KEPT):
                cells.keep(KEPT, {f"{name}/{seed}": measure(name, seed)})


if __name__ == "__main__":
    main()
