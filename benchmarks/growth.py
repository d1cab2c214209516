"""Time and memory as the data grows: a sixteenth of it, a quarter, all of it.

    python benchmarks/growth.py            # 4,096 sentences; three minutes on one core
    python benchmarks/growth.py --quick    # 512 sentences, and a sixteenth of them
    python benchmarks/growth.py --json

One epoch of topics from English over a tiny base with e5-small's whole vocabulary, sentences of
SIB-200 in as many languages as it takes, each size in a process of its own. Time is processor time:
of the training as a whole, loading and tokenising with it, and of its steps alone, which have no
start that would hide how they grow. Memory is the most that was held beyond what was held before.
The last column is against the smallest size: 16 is as fast as the data.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

import alone
import tables

SHARES = (16, 4, 1)


def sentences(count: int) -> list[tuple[str, str]]:
    """Sentences and their topics, language after language."""
    rows: list[tuple[str, str]] = []
    for file in sorted((tables.DATA / "sib200").glob("*/train.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows += [(r["text"], r["category"]) for r in csv.DictReader(lines, delimiter="\t")]
        if len(rows) >= count:
            return rows[:count]
    sys.exit(f"{tables.DATA}/sib200: {len(rows)} sentences, {count} are needed")


def side(count: int, folder: str) -> tuple[float, float, float]:
    """Train on so many sentences: processor seconds, those of the steps alone, MB."""
    from predict import tiny_base
    from steps import lowres_clock

    from lowres import bases, data, hardware, train
    from lowres.progress import Silent
    from lowres.recipe_loading import from_mapping

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
    before = alone.settled()
    alone.peak_from_here()
    start = time.process_time()
    known = recipe, 1, data.load(recipe), bases.locate(str(base)), hardware.detect()
    with lowres_clock() as clock:
        train.train(*known, work / "seed", Silent())
    return time.process_time() - start, clock.seconds, alone.peak_mb() - before


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    tables.data("sib200")
    whole = 512 if asked.quick else 4096
    shares = SHARES[::2] if asked.quick else SHARES
    found = {}
    for share in shares:
        with tempfile.TemporaryDirectory() as folder:
            found[share] = alone.call(side, whole // share, folder)
        print(f"{whole // share} sentences: {found[share]}", file=sys.stderr)
    rows = []
    for key, what, unit in (
        (0, "training", "s"), (1, "its steps alone", "s"), (2, "the most held", "MB"),
    ):  # fmt: skip
        for share in shares[1:]:
            name = f"{what}, {whole // share:,} sentences"
            rows.append(tables.row(name, unit, found[share][key], found[shares[0]][key]))
    tables.show(rows, asked.json, ("so many", f"{whole // shares[0]:,} sentences"))


if __name__ == "__main__":
    main()
