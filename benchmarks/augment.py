"""What `train.augment` brings: every way on two data sets of each kind of task, e5-small in float.

    python benchmarks/augment.py run                   # every cell; goes on where it was
    python benchmarks/augment.py run --data "SIB-200 topics" --only none word_dropout --seeds 1
    python benchmarks/augment.py run --runs RUN...     # on top of the extensions of finished runs
    python benchmarks/augment.py table                 # what was measured, as Markdown

A cell is one data set, one way and one seed: one training of so many steps, the same for every way,
on a part of the source's training data, the last weights kept. Two processes of one thread work
side by side (`--workers`).

No test set is ever answered, so that a choice made here is not made on one. SIB-200 and NusaX are
parallel, and a sentence trained on in the source must not be asked in a target: the answers there
are those to the targets' training sentences of other ids, and to their dev sets. For entities they
are those to a part of the targets' dev sets. Differences from `none` are paired, over all seeds and
targets. Rows lie in `--rows`, written anew after each cell; answers lie in `--work`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from datasets import Dataset, concatenate_datasets
from tables import DATA, machine

from lowres import adapter_files, bases, data, hardware, inference, mentions, model, preparation
from lowres.artifacts import RunFolder
from lowres.data import LabelledData
from lowres.progress import Silent
from lowres.recipe import Recipe
from lowres.recipe_loading import Override, from_mapping, load
from lowres.shared import Shared
from lowres.stats import paired_mean, value_of
from lowres.study import Study
from lowres.train import train

NUSAX = {
    "eng_Latn": "english",
    "ace_Latn": "acehnese",
    "ban_Latn": "balinese",
    "bug_Latn": "buginese",
    "mad_Latn": "madurese",
    "min_Latn": "minangkabau",
}
MASAKHANER = {"pcm_Latn": "pcm", "bam_Latn": "bam", "lug_Latn": "lug", "wol_Latn": "wol"}
UNER = f"{DATA}/uner/UNER_English-EWT/{{lang}}-ud-{{split}}.iob2"
# all targets have a word list from English, which reads Nigerian Pidgin too: half of its words
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "SIB-200 topics": (
        "topics-sib200",
        {
            "data.files": f"{DATA}/sib200/{{lang}}/{{split}}.tsv",
            "languages.targets": ["bam_Latn", "bho_Deva", "grn_Latn", "lij_Latn", "lug_Latn"],
            "train.steps": 200,
        },
    ),
    "NusaX sentiment": (
        "sentiment-nusax",
        {
            "data.files": f"{DATA}/nusax/{{lang}}/{{split}}.csv",
            "data.names": NUSAX,
            "data.labels": {},
            "languages.source": "eng_Latn",
            "languages.targets": [code for code in NUSAX if code != "eng_Latn"],
            "train.steps": 200,
        },
    ),
    "entities, from English": (
        "ner-masakhaner",
        {
            "data.files": f"{DATA}/masakhaner/{{lang}}/{{split}}.txt",
            "data.source.files": UNER,
            "languages.targets": [code for code in MASAKHANER if code != "pcm_Latn"],
            "train.steps": 400,
        },
    ),
    "entities, from Nigerian Pidgin": (
        "ner-masakhaner",
        {
            "data.files": f"{DATA}/masakhaner/{{lang}}/{{split}}.txt",
            "data.names": MASAKHANER,
            "data.labels": {},
            "data.source": None,
            "languages.source": "pcm_Latn",
            "languages.targets": [code for code in MASAKHANER if code != "pcm_Latn"],
            "train.steps": 350,
        },
    ),
}
COMMON = {
    "base.name": "e5-small",
    "base.quantization": "none",
    "train.checkpoint": "last",
}
ON_RUNS = {"train.steps": 200, "train.checkpoint": "last"}
# of SIB-200's 701, of NusaX's 500; entities need more
SHOWN = {"classification": 350, "tagging": 1200}
SOURCE_DEV = 200
ASKED = 300
"""Sentences of a target's dev set for entities."""
RESAMPLES = 1000

WORDS = {"name": "code_switch", "lexicon": f"{DATA}/lexicons/{{lang}}.tsv"}
WAYS: dict[str, tuple[dict[str, Any], ...]] = {
    "none": (),
    "code_switch": (WORDS,),
    "word_dropout": ({"name": "word_dropout"},),
    "character_noise": ({"name": "character_noise"},),
    "entity_swap": ({"name": "entity_swap"},),
    "entity_swap, names of the targets": ({"name": "entity_swap", "entities": "NAMES"},),
}
"""The last one takes names out of the targets' own training data, as a gazetteer would have them:
what a list of names can bring at best. None of dates."""


def settled(chosen: str, way: str, work: Path, steps: int | None) -> tuple[Recipe, RunFolder]:
    """A data set's recipe with a way, and the folder of its extension and language adapter."""
    name, its = SETS.get(chosen, (f"{chosen}/recipe.yaml", {}))
    folder = RunFolder(Path(chosen) if chosen not in SETS else work / "no run")
    ways = WAYS[way]
    if chosen not in SETS and way == "code_switch" and load(name).text is not None:
        ways = ({"name": "code_switch"},)
    common = COMMON if chosen in SETS else ON_RUNS
    changed = {**common, **its, "train.augment": [dict(each) for each in ways]}
    if steps is not None:
        changed["train.steps"] = steps
    return load(name, [Override(key, value, chosen) for key, value in changed.items()]), folder


def with_names(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with lists of names in the place of `NAMES`, written into `folder`."""
    plain = recipe.model_dump(mode="json")
    for way in plain["train"]["augment"]:
        if way.get("entities") == "NAMES":
            way["entities"] = str(folder / "{lang}.tsv")
            labels = data.load(recipe).labels
            for code, rows in part(recipe, "train", labels).items():
                found = mentions.of_examples(rows.to_list())[code].by_type
                lines = [
                    f"{kind}\t{' '.join(name)}\n"
                    for kind, names in found.items()
                    if kind != "DATE"
                    for name in names
                ]
                (folder / f"{code}.tsv").write_text("".join(lines), encoding="utf-8")
    return from_mapping(plain)


def part(recipe: Recipe, split: str, labels: Sequence[str]) -> dict[str, Dataset]:
    """One split of every target."""
    targets, policy = recipe.languages.targets, recipe.data.unseen_labels
    return data.load_tests(recipe.task, recipe.data, "data", targets, split, labels, policy).sets


def drawn(rows: Dataset, count: int) -> Dataset:
    """So many examples, the same ones at each call."""
    order = Random(0).sample(range(len(rows)), len(rows))
    return rows.select(sorted(order[:count]))


def parts(recipe: Recipe) -> tuple[LabelledData, dict[str, Dataset]]:
    """What is trained on, and what is asked of every target."""
    labelled = data.load(recipe)
    shown = drawn(labelled.train, SHOWN[recipe.task.name])
    labelled = replace(labelled, train=shown, dev=drawn(labelled.dev, SOURCE_DEV))
    dev = part(recipe, "dev", labelled.labels)
    if recipe.task.name == "tagging":
        return labelled, {code: drawn(rows, ASKED) for code, rows in dev.items()}
    seen = set(shown["id"])
    asked = {}
    for code, rows in part(recipe, "train", labelled.labels).items():
        others = [at for at, name in enumerate(rows["id"]) if name not in seen]
        asked[code] = concatenate_datasets([rows.select(others), dev[code]])
    return labelled, asked


def measure(chosen: str, way: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One cell: what was answered, and what it took."""
    begun = time.process_time()
    recipe, folder = settled(chosen, way, given.work, given.steps)
    here = hardware.detect(recipe.train.precision)
    located = bases.locate(recipe.base.name, recipe.base.revision)
    labelled, asked = parts(recipe)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        recipe = with_names(recipe, work)
        own, *_ = preparation.variants(recipe, located, folder)
        study = Study(recipe, labelled, located, here, folder, (own,), "", Shared(), None)
        seen = study.seen(own, seed)
        outcome = train(recipe, seed, seen.data, own.located, here, work, Silent())
        trained = time.process_time()
        adapter = work / "adapter"
        base = model.load_base(own.located, recipe.base, recipe.task, labelled.labels, here)
        answers = inference.predict_all(
            adapter_files.load_adapter(base, adapter),
            adapter_files.tokenizer_of(adapter, own.located),
            recipe.task, labelled.labels, list(asked.values()), here,
            recipe.train.max_tokens, recipe.evaluate.batch_tokens,
        )  # fmt: skip
    gold = recipe.task.gold_field
    return {
        "data": chosen,
        "way": way,
        "seed": seed,
        "metric": recipe.task.metrics(labelled.labels)[0],
        "labels": list(labelled.labels),
        "dev": round(outcome.dev, 4),
        "status": outcome.status,
        "steps": outcome.steps,
        "examples": [len(labelled.train), len(seen.data.train)],
        "cpu_seconds": [round(trained - begun), round(time.process_time() - trained)],
        "answers": {
            code: {"gold": rows[gold][:], "said": [one.answer for one in found]}
            for (code, rows), found in zip(asked.items(), answers, strict=True)
        },
    }


def cells_of(work: Path) -> list[dict[str, Any]]:
    """All that were measured, seed by seed."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in work.glob("*.json")]
    found = [cell for cell in found if "answers" in cell]
    return sorted(found, key=lambda cell: (cell["data"], cell["way"], cell["seed"]))


def row_of(cells: Sequence[dict[str, Any]], plain: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """One way on one data set over its seeds, against `none` with the same seeds."""
    first = cells[0]
    metric, labels = first["metric"], first["labels"]
    means, by, triples = [], {}, []
    for cell in cells:
        scores = {
            code: value_of(metric, each["gold"], each["said"], labels)
            for code, each in cell["answers"].items()
        }
        means.append(fmean(scores.values()))
        for code, value in scores.items():
            by.setdefault(code, []).append(value)
        if cell["way"] != "none" and cell["seed"] in plain:
            others = plain[cell["seed"]]["answers"]
            for code, each in cell["answers"].items():
                triples.append((each["gold"], each["said"], others[code]["said"]))
    row = {
        "data": first["data"],
        "way": first["way"],
        "metric": metric,
        "seeds": [cell["seed"] for cell in cells],
        "mean": round(fmean(means), 4),
        "sd": round(stdev(means), 4) if len(means) > 1 else None,
        "scores": {code: round(fmean(values), 4) for code, values in by.items()},
        "n": {code: len(each["gold"]) for code, each in first["answers"].items()},
        "dev": round(fmean(cell["dev"] for cell in cells), 4),
        "status": [cell["status"] for cell in cells],
        "steps": first["steps"],
        "examples": first["examples"],
        "cpu_seconds": [round(fmean(cell["cpu_seconds"][at] for cell in cells)) for at in (0, 1)],
    }
    if triples:
        delta = paired_mean(metric, triples, labels, RESAMPLES)
        row["against_none"] = [round(x, 4) for x in (delta.delta, delta.low, delta.high, delta.p)]
    return row


def rows_of(cells: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> list[Any]:
    """A row a way and data set; rows of data sets without cells here stay as they were."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["data"], cell["way"]), []).append(cell)
    rows = [
        row_of(own, {cell["seed"]: cell for cell in groups.get((chosen, "none"), ())})
        for (chosen, _), own in groups.items()
    ]
    known = {row["data"] for row in rows}
    rows += [row for row in before if row["data"] not in known]
    order = {name: at for at, name in enumerate([*SETS, *WAYS])}
    return sorted(
        rows, key=lambda row: (order.get(row["data"], len(order)), row["data"], order[row["way"]])
    )


def table(found: dict[str, Any]) -> None:
    """Markdown."""
    rows = found["rows"]
    for chosen in dict.fromkeys(row["data"] for row in rows):
        its = [row for row in rows if row["data"] == chosen]
        first = its[0]
        print(
            f"\n{chosen}: {first['metric']}, mean of {len(first['scores'])} targets "
            f"({sum(first['n'].values()):,} examples), {first['steps']} steps\n"
        )
        print(
            "| way | seeds | targets | against none, points (95%) | p | source dev | CPU s, train "
            "+ answer |\n|---|---:|---:|---:|---:|---:|---:|"
        )
        for row in its:
            sd = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
            delta, p = "–", "–"
            if "against_none" in row:
                *points, chance = row["against_none"]
                delta = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in points))
                p = f"{chance:.3f}"
            bad = [status for status in row["status"] if status != "ok"]
            print(
                f"| {row['way']} | {len(row['seeds'])} | {row['mean']:.3f}{sd} | {delta} | {p} | "
                f"{row['dev']:.3f}{' (' + ', '.join(bad) + ')' if bad else ''} | "
                f"{row['cpu_seconds'][0]} + {row['cpu_seconds'][1]} |"
            )


def fits(chosen: str, way: str) -> bool:
    """Whether a way has anything to change in a data set."""
    return not way.startswith("entity_swap") or chosen.startswith("entities")


def file_of(work: Path, chosen: str, way: str, seed: int) -> Path:
    """Where a cell lies."""
    name = f"{Path(chosen).name}-{way}-{seed}".replace(",", "").replace(" ", "-")
    return work / f"{name}.json"


def in_a_process(chosen: str, way: str, seed: int, words: Sequence[str]) -> str | None:
    """One cell in a process of its own; what went wrong, if anything did."""
    command = [sys.executable, __file__, *words, "--cell", json.dumps([chosen, way, seed])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["?"])[-1] if done.returncode else None


def run(given: argparse.Namespace, found: dict[str, Any]) -> None:
    """Every cell that is not there yet."""
    given.work.mkdir(parents=True, exist_ok=True)
    given.rows.parent.mkdir(parents=True, exist_ok=True)
    chosen = [*map(str, given.runs)] or given.data or list(SETS)
    todo = [
        (one, way, seed)
        for seed in given.seeds
        for one in chosen
        for way in given.only or WAYS
        if fits(one, way) and not file_of(given.work, one, way, seed).is_file()
    ]
    print(f"{len(todo)} cells to do", flush=True)
    with ThreadPoolExecutor(given.workers) as pool:
        begun = {pool.submit(in_a_process, *one, sys.argv[1:]): one for one in todo}
        for done in as_completed(begun):
            wrong = done.result()
            print(f"{begun[done]}: {wrong or 'done'}", flush=True)
            found["rows"] = rows_of(cells_of(given.work), found["rows"])
            given.rows.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results/augment.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/augment"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", nargs="*", choices=list(SETS))
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="in the data sets' place")
    parser.add_argument("--only", nargs="*", choices=list(WAYS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="a try: so few steps")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        chosen, way, seed = json.loads(given.cell)
        row = measure(chosen, way, seed, given)
        file = file_of(given.work, chosen, way, seed)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(file)
        return
    before = json.loads(given.rows.read_text(encoding="utf-8")) if given.rows.is_file() else {}
    found = {"machine": machine(), "rows": [], **before}
    if given.what == "run":
        run(given, found)
    table(found)


if __name__ == "__main__":
    main()
