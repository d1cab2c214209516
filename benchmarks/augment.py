"""What `train.augment` brings: the task of a finished run, trained anew with each way.

    python benchmarks/augment.py run RUN [RUN...] [--only code_switch]   # goes on where it was
    python benchmarks/augment.py table

A RUN is a folder of `lowres run` whose targets have training data (`languages.shots` need not say
so); its extension and language adapter are taken as they are. Answers are those to the targets'
training and dev sentences: a test set is never read here. With copies there are half the epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets
from sklearn.metrics import f1_score

from lowres import adapter_files, bases, data, hardware, inference, model, preparation
from lowres.artifacts import RunFolder
from lowres.progress import Silent
from lowres.recipe_loading import from_mapping, load
from lowres.study import Study
from lowres.train import train

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
# Tamazight's has another code there
LISTS = str(DATA / "lexicons/{lang}.tsv")
WAYS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "code_switch": [{"name": "code_switch"}],
    "code_switch, half of the words": [{"name": "code_switch", "share": 0.5}],
    "code_switch, and again by a word list": [
        {"name": "code_switch"},
        {"name": "code_switch", "copies": 1, "lexicon": LISTS},
    ],
    "word_dropout": [{"name": "word_dropout"}],
    "character_noise": [{"name": "character_noise"}],
}


def measure(run: Path, way: str, seed: int) -> dict[str, Any]:
    """One way on one run."""
    plain = load(str(run / "recipe.yaml")).model_dump(mode="json")
    plain["train"]["augment"] = [dict(each) for each in WAYS[way]]
    for each in plain["train"]["augment"]:
        if "lexicon" in each and plain["languages"]["targets"] == ["tzm_Tfng"]:
            each["lexicon"] = each["lexicon"].replace("{lang}", "ber_Tfng")
    if WAYS[way]:
        plain["train"]["epochs"] /= 2
    recipe = from_mapping(plain)
    machine = hardware.detect(recipe.train.precision)
    located = bases.locate(recipe.base.name, recipe.base.revision)
    labelled = data.load(recipe)
    own, *_ = preparation.variants(recipe, located, RunFolder(run))
    seen_by = Study(recipe, labelled, located, machine, RunFolder(run), (own,), "")
    seen = seen_by.seen(own, seed)
    with tempfile.TemporaryDirectory() as work:
        outcome = train(recipe, seed, seen.data, own.located, machine, Path(work), Silent())
        adapter = Path(work) / "adapter"
        base = model.load_base(located, recipe.base, recipe.task, labelled.labels, machine)
        network = adapter_files.load_adapter(base, adapter)
        tokenizer = adapter_files.tokenizer_of(adapter, located)
        scores = {}
        for language in recipe.languages.targets:
            examples = labels_of(plain, language)
            answers = inference.predict(
                network, tokenizer, recipe.task, labelled.labels, examples, machine,
                recipe.train.max_tokens, recipe.evaluate.batch_tokens,
            )  # fmt: skip
            gold = examples[recipe.task.gold_field][:]
            found = [answer.answer for answer in answers]
            scores[language] = float(f1_score(gold, found, average="macro"))
    return {"dev": outcome.dev, "steps": outcome.steps, "scores": scores}


def labels_of(plain: dict[str, Any], language: str) -> Any:
    """A target's training and dev examples: as if it were the source."""
    sections = {name: plain[name] for name in ("name", "base", "data", "task")}
    languages = {"source": language, "targets": plain["languages"]["source"]}
    rows = data.load(from_mapping({**sections, "languages": languages}))
    return concatenate_datasets([rows.train, rows.dev.cast(rows.train.features)])


def table(work: Path) -> None:
    """Markdown, a row a way."""
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(work.glob("*.json"))]
    if not rows:
        sys.exit(f"{work}: nothing measured yet; first `run`")
    runs = list(dict.fromkeys(row["run"] for row in rows))
    by = {(row["way"], row["run"]): row for row in rows}
    print("| way |" + "".join(f" {run}: targets | source dev | steps |" for run in runs))
    print("|---|" + "---:|" * 3 * len(runs))
    for way in WAYS:
        found = [by.get((way, run)) for run in runs]
        if any(found):
            cells = [
                f"{sum(row['scores'].values()) / len(row['scores']):.3f} | {row['dev']:.3f} | "
                f"{row['steps']}"
                if row
                else "– | – | –"
                for row in found
            ]
            print(f"| {way} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/augment"))
    parser.add_argument("--only", nargs="*", choices=list(WAYS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.what == "table":
        table(given.work)
        return
    given.work.mkdir(parents=True, exist_ok=True)
    for way in given.only or WAYS:
        for run in given.runs:
            file = given.work / f"{run.name}-{way.replace(' ', '-').replace(',', '')}.json"
            if not file.is_file():
                row = {"run": run.name, "way": way, **measure(run, way, given.seed)}
                file.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
