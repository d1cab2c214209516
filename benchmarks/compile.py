"""Whether `torch.compile` pays for the frozen encoder on a processor: e5-small, its own lengths.

    python benchmarks/compile.py            # four passes over 128 sentences; three minutes
    python benchmarks/compile.py --quick    # over 32
    python benchmarks/compile.py --json

Passes without gradients over English SIB-200, in batches of 16 grouped by length, in the number
format that lowres would take; compiled with `dynamic=True`, since every batch has another length.
Seconds of processor time; compilation is in the first pass. Needs a C++ compiler (`$CXX`, g++) and
says so where there is none. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from typing import Any

import alone
import tables

BATCH, PASSES = 16, 4


def passes(count: int, compiled: bool) -> list[float]:
    """Seconds of every pass, in a process of its own."""
    import torch
    import transformers
    from plain_script import MAX_TOKENS, read

    from lowres import bases, hardware

    os.environ["ACCELERATE_USE_CPU"] = "true"  # this is about processors, beside a GPU too
    path, machine = bases.locate("e5-small").path, hardware.detect()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
    encoder: Any = transformers.AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    texts, _ = read(tables.DATA / "sib200", "eng_Latn", "train")
    texts = sorted(texts[:count], key=len)
    batches = [
        tokenizer(
            texts[start : start + BATCH],
            truncation=True,
            max_length=MAX_TOKENS,
            padding=True,
            return_tensors="pt",
        )
        for start in range(0, count, BATCH)
    ]
    run = torch.compile(encoder, dynamic=True) if compiled else encoder
    times = []
    for _ in range(PASSES):
        start = time.process_time() + _children()
        with torch.inference_mode(), machine.autocast():
            for batch in batches:
                run(**batch)
        times.append(time.process_time() + _children() - start)
    return times


def _children() -> float:
    """Processor time of the compilers that were started."""
    used = os.times()
    return used.children_user + used.children_system


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    sides = ("compiled", "as it is")
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        note = f"no rows: torch.compile needs a C++ compiler, and there is no {compiler} here"
        tables.show([], asked.json, sides, [note])
        return
    tables.data("sib200")
    count = 32 if asked.quick else 128
    ours, theirs = (alone.call(passes, count, compiled) for compiled in (True, False))
    rows = [
        tables.measured(f"a pass over {count} sentences", "s", ours[1:], theirs[1:]),
        tables.row("the first pass, compilation with it", "s", ours[0], theirs[0]),
    ]
    gained = statistics.median(theirs[1:]) - statistics.median(ours[1:])
    cost = ours[0] - theirs[0]
    said = f"{cost / gained * count:,.0f} sentences" if gained > 0 else "never"
    tables.show(rows, asked.json, sides, [f"compilation is paid back after: {said}"])


if __name__ == "__main__":
    main()
