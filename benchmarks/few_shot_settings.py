"""Which settings of `few_shot` are best: compared on the targets' dev sets, never on a test set.

    python benchmarks/few_shot_settings.py run [--share 1/2] [--only NAME...]   # goes on
    python benchmarks/few_shot_settings.py table

The zero-shot adapter of each set is trained once (runs/few-shot-settings/); every setting goes on
from it with the same examples: 10 and 50 of three unseen targets a set, two draws. Rows are kept
in benchmarks/results/few_shot_settings.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import cells
import real_data

from lowres import (
    adapter_files,
    bases,
    data,
    few_shot,
    hardware,
    inference,
    model,
    pipeline,
    stats,
)
from lowres.artifacts import RunFolder
from lowres.progress import Silent, Terminal
from lowres.recipe import Recipe
from lowres.recipe_loading import load
from lowres.source_dev import chosen_metric
from lowres.study import Study
from lowres.train import train
from lowres.variants import Variant

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "few_shot_settings.json"
RUNS = ROOT / "runs" / "few-shot-settings"
TARGETS = {
    "sentiment-nusax": ("ace_Latn", "bug_Latn", "bbc_Latn"),
    "topics-sib200": ("yor_Latn", "wol_Latn", "tzm_Tfng"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "continued": {},
    "continued, 20 epochs": {"epochs": 20},
    "continued, the head at 3e-3": {"head_learning_rate": 3e-3},
    "continued, one of the source beside each": {"replay": 1},
    "continued, mean of epochs": {"checkpoint": "average"},
    "mixed, each four times": {"way": "mixed", "repeats": 4},
}
SHOTS, DRAWS = (10, 50), (1, 2)


def keep(name: str, row: dict[str, Any]) -> None:
    """Add a row to the file."""
    cells.keep(KEPT, {name: row})
    print(name, row, flush=True)


def study_of(name: str) -> tuple[Recipe, Study]:
    """A recipe whose zero-shot adapter is trained, on its three targets."""
    recipe = load(
        name,
        [
            *real_data.overrides(name),
            "base.quantization=none",
            f"languages.targets=[{', '.join(TARGETS[name])}]",
            "evaluate.baselines=[majority]",
            "seeds=1",
        ],
    )
    out = RUNS / name
    if RunFolder(out).manifest("evaluate") is None:
        pipeline.run(recipe, out, Terminal())
    machine = hardware.detect(recipe.train.precision)
    located = bases.locate(recipe.base.name)
    own = Variant("adapter", located, "")
    labelled = data.load(recipe)
    return recipe, Study(recipe, labelled, located, machine, RunFolder(out), (own,), "")


def dev_of(recipe: Recipe, language: str) -> Any:
    """A target's dev set, as if it were a source's."""
    languages = {"source": (language,), "targets": recipe.languages.source}
    as_source = recipe.languages.model_copy(update=languages)
    return data.load(recipe.model_copy(update={"languages": as_source})).dev


def score(study: Study, adapter: Path, language: str) -> float:
    """The chosen metric on a target's dev set."""
    recipe, labels = study.recipe, study.labelled.labels
    examples = dev_of(recipe, language)
    base = model.load_base(study.located, recipe.base, recipe.task, labels, study.machine)
    network = adapter_files.load_adapter(base, adapter)
    answers = inference.predict(
        network, model.load_tokenizer(study.located), recipe.task, labels, examples,
        study.machine, recipe.train.max_tokens, recipe.evaluate.batch_tokens,
    )  # fmt: skip
    gold = list(examples[recipe.task.gold_field])
    found = [answer.answer for answer in answers]
    return float(stats.value_of(chosen_metric(recipe, labels), gold, found, labels))


def measure(study: Study, setting: str, language: str, shots: int, draw: int) -> dict[str, Any]:
    """One training, scored on the target's dev set and on the source's."""
    section = {"languages": {"shots": [shots]}, "few_shot": SETTINGS[setting]}
    plain = study.recipe.model_dump(mode="json")
    plain["languages"]["shots"] = section["languages"]["shots"]
    recipe = Recipe.model_validate({**plain, "few_shot": section["few_shot"]})
    asked = replace(study, recipe=recipe)
    variant = Variant("few", study.located, "few/", shots, draw, (language,), False)
    seen = asked.seen(variant, 1)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        outcome = train(
            few_shot.recipe_of(recipe, variant), 1, seen.data, study.located, study.machine,
            Path(work), Silent(), start=asked.start_of(variant, 1),
        )  # fmt: skip
        seconds = time.monotonic() - start
        value = score(study, Path(work) / "adapter", language)
    return {"score": round(value, 4), "dev": round(outcome.dev, 4), "seconds": round(seconds, 1)}


def run(given: argparse.Namespace) -> None:
    """Every row that is not there yet."""
    part, parts = (int(number) for number in given.share.split("/"))
    for name in list(TARGETS)[part - 1 :: parts]:
        recipe, study = study_of(name)
        adapter = study.folder.path / "train/1/adapter"
        for language in recipe.languages.targets:
            if f"{name}/zero-shot/{language}/0/1" not in cells.read(KEPT):
                row = {"score": round(score(study, adapter, language), 4)}
                keep(f"{name}/zero-shot/{language}/0/1", row)
            for setting in given.only or SETTINGS:
                for shots in given.shots:
                    for draw in given.draws:
                        row_name = f"{name}/{setting}/{language}/{shots}/{draw}"
                        if row_name not in cells.read(KEPT):
                            keep(row_name, measure(study, setting, language, shots, draw))


def table(kept: dict[str, Any]) -> list[str]:
    """A row a setting: mean points over zero-shot on dev, by set and number of examples."""
    columns = [(name, shots) for name in TARGETS for shots in SHOTS]
    heads = " | ".join(f"{name}, {shots}" for name, shots in columns)
    lines = [f"| setting | {heads} | seconds a training |", "|---|" + "---:|" * (len(columns) + 1)]
    for setting in SETTINGS:
        shown, seconds = [], []
        for name, shots in columns:
            gains = []
            for key, row in kept.items():
                study, its, language, number, _ = key.split("/")
                if (study, its, number) == (name, setting, str(shots)):
                    gains.append(row["score"] - kept[f"{name}/zero-shot/{language}/0/1"]["score"])
                    seconds.append(row["seconds"])
            shown.append(f"{100 * fmean(gains):+.1f} (n {len(gains)})" if gains else "–")
        if seconds:
            lines.append(f"| {setting} | {' | '.join(shown)} | {fmean(seconds):.0f} |")
    return lines


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    does = parser.add_subparsers(dest="does", required=True)
    running = does.add_parser("run")
    running.add_argument("--share", default="1/1", metavar="K/N", help="the K-th of N parts")
    running.add_argument("--only", nargs="+", choices=list(SETTINGS))
    running.add_argument("--shots", nargs="+", type=int, default=list(SHOTS))
    running.add_argument("--draws", nargs="+", type=int, default=list(DRAWS))
    does.add_parser("table")
    given = parser.parse_args()
    if given.does == "table":
        cells.show(KEPT, table)
    else:
        run(given)


if __name__ == "__main__":
    main()
