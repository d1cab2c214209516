"""The memory of training an XLM-R-large-sized model: 8-bit LoRA, batch 16 x 128, checkpointing.

    python benchmarks/large_memory.py            # four minutes on one core, 2 GB of disk in $TMPDIR
    python benchmarks/large_memory.py --quick    # two of its 24 layers, a step each
    python benchmarks/large_memory.py --sides lowres --profile   # what is alive at the peak
    python benchmarks/large_memory.py --json

Random weights in the shape of XLM-R-large, 250,002 rows; sentences of 128 tokens, classification,
LoRA of rank 16 on every linear layer, gradient checkpointing, a whole batch of 16 in one forward
pass. The figure is the most that a process held from loading on (on a GPU: that torch reserved of
it), beyond what it held with all libraries imported and a tiny model trained in the same way
("import baseline"), once a side. The peer is
`plain_script.py` with its best options: `BitsAndBytesConfig(load_in_8bit=True)`,
`prepare_model_for_kbit_training`, bf16.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import alone
import tables
from plan_accuracy import Case, make_base, make_data, ready, recipe_of

SIDES = ("lowres", "peer")
CASE = Case("large", "8bit", "classification", 126, 16, checkpointing=True, steps=2)
"""126 words, begin and end."""
WARM = replace(CASE, batch=4, words=8, steps=1)


def lowres(case: Case, base: Path, data: Path, run: Path) -> None:
    """Load and train as `lowres run` does."""
    ready(recipe_of(case, str(base), data), run)()


def peer(case: Case, base: Path, data: Path, run: Path) -> None:
    """Load and train by the plain script."""
    from plain_script import Script

    lines = (data / "eng_Latn" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows.sort(key=lambda row: -len(row["text"]))  # whole batches of the longest
    rows = rows[: case.batch * case.steps]
    script = Script(str(base), ["a", "b"], True, 1, eight_bit=True, checkpointing=True)
    train = script.rows([row["text"] for row in rows], [row["label"] for row in rows])
    script.trainer(train, 1).train()


def side(name: str, case: Case, base: str, folder: str, profile: bool) -> float:
    """MB of one side, in a process of its own."""
    train = {"lowres": lowres, "peer": peer}[name]
    top = Path(folder)
    make_base(top / "tiny", "tiny")
    make_data(top / "tiny-data", WARM)
    train(WARM, top / "tiny", top / "tiny-data", top / "tiny-run")
    make_data(top / "data", case)
    before = alone.held_from_here()
    if profile:
        from alive import Alive

        with Alive() as alive:
            train(case, Path(base), top / "data", top / "run")
        print("\n".join(alive.report()), file=sys.stderr)
    else:
        train(case, Path(base), top / "data", top / "run")
    return alone.most_held() - before


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--profile", action="store_true", help="slower; tensors to standard error")
    asked = parser.parse_args()
    layers = 2 if asked.quick else asked.layers
    case = replace(CASE, steps=1) if asked.quick else CASE
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        alone.call(make_base, base, "large", layers)
        for name in asked.sides:
            with tempfile.TemporaryDirectory() as work:
                found[name] = alone.call(side, name, case, str(base), work, asked.profile)
            print(f"{name}: {found[name]:,.0f} MB", file=sys.stderr, flush=True)
    rows = [tables.row(f"{layers} layers", "MB", found.get("lowres"), found.get("peer"))]
    tables.show(rows, asked.json, ("lowres, 8-bit", "bitsandbytes + peft"), [tables.ONCE])


if __name__ == "__main__":
    main()
