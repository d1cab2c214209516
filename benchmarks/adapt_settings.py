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

from lowres import adapt, bases, data, extend, hardware, inference, material, model
from lowres.baselines._linear import Classifier
from lowres.progress import Silent
from lowres.recipe import Base
from lowres.recipe_loading import from_mapping
from lowres.recipe_text import Adapt, Extend, Text

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
WORD_LISTS = {"tzm_Tfng": "ber_Tfng"}
SETTINGS: dict[str, Any] = {
    # name -> (of `tokenizer.extend`, of `adapt`); None: the old vocabulary
    "defaults": ({}, {}),
    "old vocabulary": None,
    "init mean": ({"init": "mean"}, {}),
    "init lexicon": ({"init": "lexicon"}, {}),
    "init focus": ({"init": "focus"}, {}),
    "init random": ({"init": "random"}, {}),
    "pieces 1000": ({"pieces": 1000}, {}),
    "pieces 2000": ({"pieces": 2000}, {}),
    "learning_rate 2e-4": ({}, {"learning_rate": 2e-4}),
    "learning_rate 1e-3": ({}, {"learning_rate": 1e-3}),
    "rows_learning_rate 1e-3": ({}, {"rows_learning_rate": 1e-3}),
    "rows_learning_rate 2e-2": ({}, {"rows_learning_rate": 2e-2}),
    "temperature 0.02": ({}, {"temperature": 0.02}),
    "temperature 0.1": ({}, {"temperature": 0.1}),
    "contrast 0": ({}, {"contrast": 0.0}),
    "contrast 0.5": ({}, {"contrast": 0.5}),
    "contrast 2": ({}, {"contrast": 2.0}),
    "batch 16": ({}, {"batch": 16}),
    "rank 32, alpha 64": ({}, {"rank": 32, "alpha": 64}),
    "epochs 3": ({}, {"epochs": 3}),
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
    extending: dict[str, Any] = chosen[0] if chosen else {}
    training: dict[str, Any] = chosen[1] if chosen else {}
    if extending.get("init") != "lexicon":
        texts = tuple(replace(each, lexicon=()) for each in texts)
    start = time.monotonic()
    under = located
    if chosen is not None:
        where = folder / "extension"
        where.mkdir(parents=True, exist_ok=True)
        extend.extend(Extend(**extending), located, texts, where)
        under = replace(located, extension=str(where))
    extended = time.monotonic()
    options = Adapt(**{"epochs": 1, **training})
    done = adapt.adapt(options, base, under, texts, machine, folder / "adapt", Silent())
    seconds = time.monotonic() - extended
    before = replace(under, language=None)
    after = replace(under, language=str(folder / "adapt" / "adapter"))
    row = {
        "steps": done.steps,
        "extend_s": round(extended - start, 1),
        "adapt_s": round(seconds, 1),
        "start": [figure.value for figure in done.before],
        "retrieval": [figure.value for figure in done.after],
    }
    for name, at in (("probe_start", before), ("probe", after)):
        row[name] = probe(language, base, located, at, machine)
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
    print("| setting |" + "".join(f" {code}: probe | retrieval@1 | s |" for code in languages))
    print("|---|" + "---:|---:|---:|" * len(languages))
    for name in SETTINGS:
        if not any((name, code) in by for code in languages):
            continue
        cells = []
        for code in languages:
            row = by.get((name, code))
            if row is None:
                cells += ["–", "–", "–"]
                continue
            there, back = row["retrieval"]
            cells += [f"{row['probe']:.3f}", f"{there:.3f} / {back:.3f}", f"{row['adapt_s']:.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
