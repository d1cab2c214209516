"""Time and memory as the data grows: a sixteenth of it, a quarter, all of it.

    python benchmarks/growth.py            # 4,096 sentences; six minutes on one core
    python benchmarks/growth.py --quick    # 512 sentences
    python benchmarks/growth.py --json

One epoch of topics from English over a tiny base with e5-small's whole vocabulary, sentences of
SIB-200 in as many languages as it takes, each size in a process of its own. Time is that of the
process's training alone; memory is the most it held beyond what it held once the base was loaded.
The last column is against the smallest size: 16 is as fast as the data.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tables

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data")).resolve()
SHARES = (16, 4, 1)


def sentences(count: int) -> list[tuple[str, str]]:
    """Sentences and their topics, language after language."""
    rows: list[tuple[str, str]] = []
    for file in sorted((DATA / "sib200").glob("*/train.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows += [(r["text"], r["category"]) for r in csv.DictReader(lines, delimiter="\t")]
        if len(rows) >= count:
            return rows[:count]
    sys.exit(f"{DATA}/sib200: {len(rows)} sentences, {count} are needed")


def side(count: int, folder: str, pipe: Any) -> None:
    """Train on so many sentences."""
    import torch
    import transformers
    from predict import tiny_base

    from lowres import bases, data, hardware, train
    from lowres.progress import Silent
    from lowres.recipe_loading import from_mapping

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    work = Path(folder)
    base = tiny_base(work / "base", "e5-small")
    files = {"train": sentences(count), "dev": sentences(64), "test": sentences(64)}
    for split, rows in files.items():
        for language in ("eng_Latn", "fra_Latn"):
            name = work / f"{language}-{split}.tsv"
            with name.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerows([("text", "label"), *rows])
    recipe = from_mapping(
        {
            "name": "growth",
            "base": {"name": str(base), "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": ["fra_Latn"]},
            "data": {"files": str(work / "{lang}-{split}.tsv")},
            "task": {"name": "classification"},
            "train": {"epochs": 1, "batch": 16, "max_tokens": 64, "checkpoint": "best"},
        }
    )
    before = status_mb("VmRSS")
    start = time.process_time()
    train.train(
        recipe, 1, data.load(recipe), bases.locate(str(base)), hardware.detect(), work / "seed",
        Silent(),
    )  # fmt: skip
    pipe.send((time.process_time() - start, status_mb("VmHWM") - before))


def status_mb(key: str) -> float:
    """A line of `/proc/self/status`."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(row for row in text.splitlines() if row.startswith(key)).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not (DATA / "sib200").is_dir():
        sys.exit(f"no sib200 at {DATA}; set LOWRES_DATA to the folder of the data sets")
    whole = 512 if asked.quick else 4096
    context = multiprocessing.get_context("spawn")
    found = {}
    for share in SHARES:
        ours, theirs = context.Pipe()
        with tempfile.TemporaryDirectory() as folder:
            process = context.Process(target=side, args=(whole // share, folder, theirs))
            process.start()
            theirs.close()
            found[share] = ours.recv()
            process.join()
        print(f"{whole // share} sentences: {found[share]}", file=sys.stderr)
    rows = []
    for key, what, unit in ((0, "processor time", "s"), (1, "the most held", "MB")):
        for share in SHARES:
            name = f"{what}, {whole // share:,} sentences"
            value, least = found[share][key], found[SHARES[0]][key]
            rows.append(tables.row(name, unit, round(value, 2), round(least, 2)))
    tables.show(rows, asked.json, ("lowres", f"{whole // SHARES[0]:,} sentences"))


if __name__ == "__main__":
    main()
