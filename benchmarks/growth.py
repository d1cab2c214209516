"""Time and memory as the data grows: a sixteenth of it, and all of it.

    python benchmarks/growth.py            # 4,096 sentences; three minutes on one core
    python benchmarks/growth.py --quick    # 512 sentences, one round
    python benchmarks/growth.py --json

One epoch of topics from English over a tiny base with e5-small's whole vocabulary, sentences of
SIB-200 in as many languages as it takes; a sixteenth is every sixteenth of them, so that lengths
are alike (16.1 times the tokens). Each size in a process of its own, in turns, three rounds;
figures are medians (lowest to highest). Time is processor time (with a GPU by the clock): of the
training as a whole, loading and tokenising with it, and of its steps alone, which have no start
that would hide how they grow. Memory is the most that was held beyond what was held before. The
ratio is against a sixteenth: 16 is as fast as the data.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import alone
import tables

SHARES = (16, 1)
ROUNDS = 3


def sentences(count: int) -> list[tuple[str, str]]:
    """Sentences and their topics, language after language."""
    rows: list[tuple[str, str]] = []
    for file in sorted((tables.DATA / "sib200").glob("*/train.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows += [(r["text"], r["category"]) for r in csv.DictReader(lines, delimiter="\t")]
        if len(rows) >= count:
            return rows[:count]
    sys.exit(f"{tables.DATA}/sib200: {len(rows)} sentences, {count} are needed")


def side(whole: int, share: int, base: str, folder: str) -> tuple[float, float, float]:
    """Train on one of the sentences in `share`: seconds, those of the steps alone, MB."""
    from steps import lowres_clock, now

    from lowres import bases, data, hardware, train
    from lowres.progress import Silent
    from lowres.recipe_loading import from_mapping

    work = Path(folder)
    files = {"train": sentences(whole)[::share], "dev": sentences(64), "test": sentences(64)}
    for split, rows in files.items():
        for language in ("eng_Latn", "fra_Latn"):
            name = work / f"{language}-{split}.tsv"
            with name.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerows([("text", "label"), *rows])
    recipe = from_mapping(
        {
            "name": "growth",
            "base": {"name": base, "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": ["fra_Latn"]},
            "data": {"files": str(work / "{lang}-{split}.tsv")},
            "task": {"name": "classification"},
            "train": {"epochs": 1, "batch": 16, "max_tokens": 64, "checkpoint": "best"},
        }
    )
    before = alone.held_from_here()
    start = now()
    known = recipe, 1, data.load(recipe), bases.locate(base), hardware.detect()
    with lowres_clock() as clock:
        train.train(*known, work / "seed", Silent())
    return now() - start, clock.seconds, alone.most_held() - before


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    tables.data("sib200")
    from predict import tiny_base

    whole, rounds = (512, 1) if asked.quick else (4096, ROUNDS)
    found: dict[int, list[Any]] = {share: [] for share in SHARES}
    with tempfile.TemporaryDirectory() as work:
        base = Path(work) / "base"
        alone.call(tiny_base, base, "e5-small")
        for number in range(rounds):
            for share in SHARES if number % 2 else SHARES[::-1]:
                with tempfile.TemporaryDirectory() as folder:
                    found[share].append(alone.call(side, whole, share, str(base), folder))
                print(f"{whole // share} sentences: {found[share][-1]}", file=sys.stderr)
    rows = []
    for key, what, unit in (
        (0, "training", "s"), (1, "its steps alone", "s"), (2, "the most held", "MB"),
    ):  # fmt: skip
        sides = ([one[key] for one in found[share]] for share in SHARES[::-1])
        rows.append(tables.measured(what, unit, *sides))
    few, many = whole // SHARES[0], whole
    tables.show(rows, asked.json, (f"{many:,} sentences", f"{few:,} sentences"))


if __name__ == "__main__":
    main()
