"""What `tokenizer.trim` saves: topics-sib200 from English to five targets, over e5-small.

    python benchmarks/trim_memory.py          # a table
    python benchmarks/trim_memory.py --quick  # in 8 bits alone
    python benchmarks/trim_memory.py --json   # the same for machines

The peer is the same base with its whole table. "model" is every parameter and buffer of the loaded
classifier, what a GPU holds of it (on a CPU a float table is mapped from its file, and only rows
that are read take memory). Logits of the test sets must be equal to the last bit. Data:
$LOWRES_DATA, else ../shared/data. Two minutes on one core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tables
import torch

from lowres import bases, data, inference, model, recipe_loading, trim, trimmed
from lowres.hardware import Hardware

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
            f"data.files={tables.DATA}/sib200/{{lang}}/{{split}}.tsv",
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


def measured(kinds: Sequence[str]) -> list[dict[str, Any]]:
    located = bases.locate("e5-small")
    recipe = study("none")
    labelled = data.load(recipe)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        trim.trim(recipe, labelled, located, (), Path(name))
        small = replace(located, kept=str(Path(name) / trimmed.FILE))
        for quantization in kinds:
            ours = loaded(small, quantization, labelled)
            peer = loaded(located, quantization, labelled)
            if not np.array_equal(ours["logits"], peer["logits"]):
                sys.exit(f"{quantization}: the logits of the trimmed base are others")
            figures = [(f"model, {quantization}", "model", "MB")]
            if quantization == QUANTIZATION[0]:
                figures = [("table", "rows", "rows"), ("table, float32", "table", "MB"), *figures]
            rows += [tables.row(what, unit, ours[key], peer[key]) for what, key, unit in figures]
    return rows


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    tables.data("sib200")
    rows = measured(QUANTIZATION[:1] if asked.quick else QUANTIZATION)
    tables.show(rows, asked.json, ("trimmed", "whole"))


if __name__ == "__main__":
    main()
