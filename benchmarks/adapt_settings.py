"""What each setting of extension and adaptation is worth, one changed at a time.

    python benchmarks/adapt_settings.py run tzm_Tfng nus_Latn   # goes on where it was
    python benchmarks/adapt_settings.py table

One pass of `align` over 2,700 lines; figures: retrieval@1 of held-out lines, and macro-F1 of
a logistic regression that is trained on the base's vectors of English SIB-200 and answers the
target's train and dev sets (800 sentences; its test set is never read here). One seed a setting:
differences below a point or two say nothing. Reads $LOWRES_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import concatenate_datasets
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from lowres import adapt, bases, data, hardware, inference, material, model
from lowres.baselines._linear import Classifier
from lowres.extend import extend
from lowres.progress import Silent
from lowres.recipe import Base
from lowres.recipe_loading import from_mapping
from lowres.recipe_text import Adapt, Extend, Text

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
WORD_LISTS = {"tzm_Tfng": "ber_Tfng"}
SETTINGS: dict[str, Any] = {
    # name -> (of `tokenizer.extend`, of `adapt`): None for the old vocabulary, or for the rows as
    # they start
    "defaults": ({}, {}),
    "old vocabulary": (None, {}),
    "init mean": ({"init": "mean"}, {}),
    "init focus": ({"init": "focus"}, None),
    "init random": ({"init": "random"}, None),
    "pieces 2000": ({"pieces": 2000}, {}),
    "learning_rate 1e-3": ({}, {"learning_rate": 1e-3}),
    "temperature 0.05": ({}, {"temperature": 0.05}),
    "rows_learning_rate 1e-3": ({}, {"rows_learning_rate": 1e-3}),
    "learning_rate 2e-4": ({}, {"learning_rate": 2e-4}),
    "epochs 3": ({}, {"epochs": 3}),
    "init lexicon": ({"init": "lexicon"}, {}),
    "temperature 0.02": ({}, {"temperature": 0.02}),
    "rows_learning_rate 2e-2": ({}, {"rows_learning_rate": 2e-2}),
    "contrast 0": ({}, {"contrast": 0.0}),
    "pieces 1000": ({"pieces": 1000}, {}),
    "contrast 2": ({}, {"contrast": 2.0}),
    "rank 32, alpha 64": ({}, {"rank": 32, "alpha": 64}),
    "batch 16": ({}, {"batch": 16}),
}


def measure(language: str, chosen: Any, folder: Path) -> dict[str, Any]:
    """One setting of one language."""
    located = bases.locate("e5-small")
    base = Base(name="e5-small", quantization="none")
    machine = hardware.detect()
    text = Text(
        files=str(DATA / "text/{lang}.txt"),
        translations=str(DATA / "text/eng_Latn.txt"),
        lexicon=str(DATA / f"lexicons/{WORD_LISTS.get(language, language)}.tsv"),
        languages=(language,),
    )
    texts = material.load(text, ())
    extending, training = chosen
    if extending is None or extending.get("init") != "lexicon":
        texts = tuple(replace(each, lexicon=()) for each in texts)
    start = time.monotonic()
    under = located
    same = folder.parent / "defaults" if extending == {} else folder
    if extending is not None:
        where = same / "extension"
        if not (same / "row.json").is_file():
            where.mkdir(parents=True, exist_ok=True)
            extend(Extend(**extending), located, texts, where)
        under = replace(located, extension=str(where))
    extended = time.monotonic()
    # one step, so that the figures before it are taken
    options = Adapt(**({"steps": 1} if training is None else {"epochs": 1, **training}))
    done = adapt.adapt(options, base, under, texts, machine, folder / "adapt", Silent())
    seconds = time.monotonic() - extended
    before = replace(under, language=None)
    after = replace(under, language=str(folder / "adapt" / "adapter"))
    row: dict[str, Any] = {
        "steps": done.steps if training is not None else 0,
        "extend_s": round(extended - start, 1),
        "adapt_s": round(seconds, 1),
        "start": [figure.value for figure in done.before],
        "retrieval": [figure.value for figure in done.after],
    }
    if (same / "row.json").is_file():
        done_before = json.loads((same / "row.json").read_text(encoding="utf-8"))
        row["probe_start"] = done_before["probe_start"]
    else:
        row["probe_start"] = probe(language, base, located, before, machine)
    row["probe"] = probe(language, base, located, after, machine) if training is not None else None
    return row


def probe(language: str, base: Base, plain: Any, at: Any, machine: Any) -> float:
    """Macro-F1 of the target's train and dev sets, from English."""
    recipe = from_mapping(
        {
            "name": "probe",
            "base": {"name": "e5-small", "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": language, "shots": ["all"]},
            "data": {"files": str(DATA / "sib200/{lang}/{split}.tsv")},
            "task": {"name": "classification"},
        }
    )
    labelled = data.load(recipe)
    target = labelled.target_train[language]
    rows = data.load(
        from_mapping(
            {
                "name": "dev",
                "base": {"name": "e5-small", "quantization": "none"},
                "languages": {"source": language, "targets": "eng_Latn"},
                "data": {"files": str(DATA / "sib200/{lang}/{split}.tsv")},
                "task": {"name": "classification"},
            }
        )
    ).dev
    target = concatenate_datasets([target, rows.cast(target.features)])

    def vectors(where: Any, examples: Any) -> np.ndarray:
        encoder, _ = model.load_encoder(where, base, machine, masked_lm=False)
        tokenizer = model.load_tokenizer(where)
        found = inference.embed(encoder, tokenizer, recipe.task, examples, machine, 128, 4096)
        return np.asarray(found, dtype=np.float32)

    scaler = StandardScaler()
    features = scaler.fit_transform(vectors(plain, labelled.train))
    classifier = Classifier(0.01, 2000).fit(features, labelled.train["label"][:])
    answers, _ = classifier.predict(scaler.transform(vectors(at, target)))
    return float(f1_score(target["label"][:], answers, average="macro"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("languages", nargs="*")
    parser.add_argument("--work", type=Path, default=Path("runs/adapt_settings"))
    parser.add_argument("--only", nargs="*", help="beginnings of the settings' names")
    given = parser.parse_args()
    if given.what == "table":
        table(given.work)
        return
    if not (DATA / "text").is_dir():
        sys.exit(f"no texts at {DATA}/text; set LOWRES_DATA to the folder of the data sets")
    for name, chosen in SETTINGS.items():
        for language in given.languages or ("tzm_Tfng", "nus_Latn"):
            folder = given.work / language / name.replace(" ", "-").replace(",", "")
            wanted = not given.only or name.startswith(tuple(given.only))
            if not wanted or (folder / "row.json").is_file():
                continue
            row = {"language": language, "setting": name, **measure(language, chosen, folder)}
            (folder / "row.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(row), flush=True)


def table(work: Path) -> None:
    """Markdown, a row a setting, the languages side by side."""
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in work.glob("*/*/row.json")]
    if not rows:
        sys.exit(f"{work}: nothing measured yet; first `run`")
    languages = sorted({row["language"] for row in rows})
    by = {(row["setting"], row["language"]): row for row in rows}
    head = "start | adapted | retrieval@1 | s |"
    print("| setting |" + "".join(f" {code}: {head}" for code in languages))
    print("|---|" + "---:|" * 4 * len(languages))
    for name in SETTINGS:
        if any((name, code) in by for code in languages):
            cells = [cell for code in languages for cell in _cells(by.get((name, code)))]
            print(f"| {name} | " + " | ".join(cells) + " |")


def _cells(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return ["–"] * 4
    start, adapted = f"{row['probe_start']:.3f}", row["probe"]
    if adapted is None:
        there, back = row["start"]
        return [start, "–", f"{there:.3f} / {back:.3f}", "–"]
    there, back = row["retrieval"]
    return [start, f"{adapted:.3f}", f"{there:.3f} / {back:.3f}", f"{row['adapt_s']:.0f}"]


if __name__ == "__main__":
    main()
