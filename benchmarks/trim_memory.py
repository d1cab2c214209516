"""What `tokenizer.trim` saves: topics-sib200 from English to five targets, over e5-small.

    python benchmarks/trim_memory.py          # a table
    python benchmarks/trim_memory.py --json   # the same for machines

The peer is the same base with its whole table. "model" is every parameter and buffer of the loaded
classifier, what a GPU holds of it (on a CPU a float table is mapped from its file, and only rows
that are read take memory). Logits of the test sets must be equal to the last bit. Data:
$LOWRES_DATA, else ../shared/data. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowres import bases, data, inference, model, recipe_loading, trim, trimmed
from lowres.hardware import Hardware

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data")).resolve()
TARGETS = "[swh_Latn, yor_Latn, hau_Latn, amh_Ethi, hin_Deva]"
QUANTIZATION = ("8bit", "none")
LOGITS_OF = 40
"""Test sentences a language whose logits are compared."""
CPU = Hardware("cpu", "fp32")


def study(quantization: str) -> Any:
    return recipe_loading.load(
        "topics-sib200",
        [
            "base.name=e5-small",
            f"base.quantization={quantization}",
            f"languages.targets={TARGETS}",
            f"data.files={DATA}/sib200/{{lang}}/{{split}}.tsv",
            "tokenizer={trim: {keep_text: []}}",
        ],
    )


def loaded(located: Any, quantization: str, labelled: Any) -> dict[str, Any]:
    """How large the model is, and what it answers to test sentences."""
    recipe = study(quantization)
    tokenizer = model.load_tokenizer(located)
    torch.manual_seed(0)
    base: Any = model.load_base(located, recipe.base, recipe.task, labelled.labels, CPU)
    table = base.get_input_embeddings().weight
    logits = []
    for part in labelled.tests.values():
        some = part.select(range(min(LOGITS_OF, len(part))))
        windows = recipe.task.encode(some, tokenizer, labelled.labels, recipe.train.max_tokens)
        logits += inference.logits(base, windows, int(tokenizer.pad_token_id), CPU, 4096)
    return {
        "rows": len(table),
        "table": table.nbytes / 2**20,
        "model": sum(t.nbytes for t in (*base.parameters(), *base.buffers())) / 2**20,
        "logits": np.stack(logits),
    }


def measured() -> list[dict[str, Any]]:
    located = bases.locate("e5-small")
    recipe = study("none")
    labelled = data.load(recipe)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        trim.trim(recipe, labelled, located, (), Path(name))
        small = replace(located, kept=str(Path(name) / trimmed.FILE))
        for quantization in QUANTIZATION:
            ours = loaded(small, quantization, labelled)
            peer = loaded(located, quantization, labelled)
            if not np.array_equal(ours["logits"], peer["logits"]):
                sys.exit(f"{quantization}: the logits of the trimmed base are others")
            figures = [(f"model, {quantization}", "model", "MB")]
            if quantization == QUANTIZATION[0]:
                figures = [("table", "rows", "rows"), ("table, float32", "table", "MB"), *figures]
            rows += [row(what, unit, ours[key], peer[key]) for what, key, unit in figures]
    return rows


def row(name: str, unit: str, ours: float, peer: float) -> dict[str, Any]:
    values = {"lowres": round(ours, 1), "peer": round(peer, 1), "ratio": round(ours / peer, 3)}
    return {"name": name, "unit": unit, **values}


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not (DATA / "sib200").is_dir():
        sys.exit(f"no sib200 at {DATA}; set LOWRES_DATA to the folder of the data sets")
    rows = measured()
    if asked.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=1))
        return
    print("| | trimmed | whole | ratio |\n|---|---:|---:|---:|")
    for one in rows:
        print(
            f"| {one['name']}, {one['unit']} | {one['lowres']} | {one['peer']} | {one['ratio']} |"
        )


if __name__ == "__main__":
    main()
