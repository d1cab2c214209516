"""A GPU's rows: fp16, bf16 and 8-bit, and XLM-R-base sized at the memory of a T4.

    python benchmarks/gpu.py            # needs an NVIDIA GPU; without one: no rows, and it says so
    python benchmarks/gpu.py --quick
    python benchmarks/gpu.py --json

Random weights in the shape of XLM-R-base, batches of 32 sentences up to 128 tokens, LoRA of rank 16
on every linear layer. The peer is `plain_script.py` with its best options in the same format, in 8
bits with `prepare_model_for_kbit_training`. Each side is a process that may take no more of the
card than a T4 has free, 14.6 GB (`torch.cuda.set_per_process_memory_fraction`); the figures are
sentences a second of whole epochs by the clock, their first steps with them, and the most that
torch reserved. A side that does not fit has no figure, and a format that the card lacks no row.
Written without a GPU at hand: not run yet.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import alone
import tables
from plan_accuracy import Case, make_base, make_data, ready, recipe_of

T4_BYTES = int(14.6 * 2**30)
FORMATS = ("fp16", "bf16", "8bit")


def missing(form: str, capability: tuple[int, int]) -> bool:
    """Whether a card of this compute capability lacks a format: nothing is trained in it then."""
    from lowres import doctor

    known = {"bf16": doctor.bf16_supported, "8bit": doctor.int8_supported}
    return form in known and not known[form](capability)


def side(name: str, form: str, steps: int, base: str, folder: str) -> tuple[float, float] | None:
    """Sentences a second and MB of one side; None where memory was too little."""
    import torch

    from lowres import hardware
    from lowres.errors import DeviceError

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, T4_BYTES / total))
    weights = "8bit" if form == "8bit" else "none"
    case = Case("base", weights, "classification", 126, 32, steps=steps)
    data = Path(folder) / "data"
    make_data(data, case)
    train = lowres if name == "lowres" else peer
    try:
        rate = train(case, form, base, data, Path(folder) / "run")
    except DeviceError:
        return None
    except RuntimeError as error:
        if not hardware.full_memory(error):
            raise
        return None
    return rate, torch.cuda.max_memory_reserved() / 2**20


def lowres(case: Case, form: str, base: str, data: Path, run: Path) -> float:
    """As `lowres run` trains; sentences a second."""
    from steps import lowres_clock

    recipe = recipe_of(case, base, data)
    precision = "auto" if form == "8bit" else form
    options = recipe.train.model_copy(update={"precision": precision})
    train = ready(recipe.model_copy(update={"train": options}), run)
    with lowres_clock() as clock:
        train()
    return case.batch * clock.steps / clock.seconds


def peer(case: Case, form: str, base: str, data: Path, run: Path) -> float:
    """As a plain script does; sentences a second."""
    import torch
    from plain_script import Script
    from steps import Clock

    lines = (data / "eng_Latn" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][: case.batch * case.steps]
    half = form
    if form == "8bit":
        half = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    script = Script(base, ["a", "b"], True, 1, half=half, eight_bit=form == "8bit")
    train = script.rows([row["text"] for row in rows], [row["label"] for row in rows])
    clock = Clock()
    epochs = case.batch * case.steps / len(rows)
    script.trainer(train, epochs, [clock], case.batch).train()
    return case.batch * clock.steps / clock.seconds


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    import torch

    sides = ("lowres", "plain script, best")
    if not torch.cuda.is_available():
        note = "no rows: this needs an NVIDIA GPU, and torch sees none here"
        tables.show([], asked.json, sides, [note])
        return
    # five are an epoch
    steps, rows, notes = 5 if asked.quick else 20, [], []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        alone.call(make_base, base, "base", 2 if asked.quick else None)
        for form in FORMATS[1:2] if asked.quick else FORMATS:
            if missing(form, torch.cuda.get_device_capability()):
                notes.append(f"{form}: missing there")
                continue
            found: dict[str, Any] = {}
            for name in ("lowres", "peer"):
                with tempfile.TemporaryDirectory() as work:
                    found[name] = alone.call(side, name, form, steps, str(base), work)
                if found[name] is None:
                    notes.append(f"{form}, {name}: does not fit a T4")
            for place, (what, unit) in enumerate((("training", "sentences a second"),
                                                  ("the most reserved", "MB"))):  # fmt: skip
                values = [one and one[place] for one in found.values()]
                rows.append(tables.row(f"XLM-R-base sized, {form}: {what}", unit, *values))
    tables.show(rows, asked.json, sides, notes)


if __name__ == "__main__":
    main()
