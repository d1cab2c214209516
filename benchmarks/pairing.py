"""How well `lowres/pairing.py` tells translations from shuffled ones.

    python benchmarks/pairing.py           # minutes; needs $LOWRES_DATA
    python benchmarks/pairing.py --quick   # a few pairs of languages

True pairings of SIB-200, NusaX and the demonstration, of 60, 72 and 200 texts drawn at random, and
the same with the translations shuffled. Lengths, in standard deviations above chance: the least of
the true ones, the most of the shuffled. Then how many the rule takes for pairs: all true ones, and
a few of the shuffled by their words, which take their time.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

from lowres import pairing
from lowres.corpus import SPACELESS
from lowres.registry import PACKAGE_DIR

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data"))
SIZES = (60, 72, 200)
BY_WORDS = 3
"""Shuffled pairings of each kind whose words are looked at."""
Texts = dict[str, list[str]]
"""Id -> words, or characters where the script sets no spaces."""


def words(text: str, script: str) -> list[str]:
    """As `aligned.check_pairs` has them."""
    return text.split() if script not in SPACELESS else [c for c in text if not c.isspace()]


def sib200(folder: Path) -> Texts:
    rows = [
        line.split("\t")
        for file in sorted(folder.glob("*.tsv"))
        for line in file.read_text(encoding="utf-8").split("\n")[1:]
        if line.count("\t") == 2
    ]
    return {row[0]: words(row[2], folder.name[4:]) for row in rows}


def nusax(folder: Path) -> Texts:
    found = {}
    for file in sorted(folder.glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        found |= {f"{file.stem} {row['id']}": words(row["text"], "Latn") for row in rows}
    return found


def demo(folder: Path) -> Texts:
    lines = [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return {row["id"]: words(row["text"], folder.name[4:]) for row in lines}


def sets() -> Iterator[tuple[str, dict[str, Texts]]]:
    every = {"SIB-200": (DATA / "sib200", sib200), "NusaX": (DATA / "nusax", nusax)}
    every["demo"] = (PACKAGE_DIR / "demo", demo)
    for name, (folder, read) in every.items():
        folders = [each for each in sorted(folder.iterdir()) if each.is_dir()]
        yield name, {each.name: found for each in folders if (found := read(each))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    most = 6 if parser.parse_args().quick else 400
    draw = random.Random(1)
    print(
        "| set | texts | pairings | lengths: true | shuffled | taken: true | shuffled, by words |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, languages in sets():
        pairs = list(itertools.permutations(languages, 2))
        pairs = draw.sample(pairs, min(most, len(pairs)))
        for size in SIZES:
            true, shuffled, taken, by_words = [], [], 0, []
            for one, other in pairs:
                ids = sorted(languages[one].keys() & languages[other].keys())
                if len(ids) < size:
                    continue
                chosen = draw.sample(ids, size)
                ours = [languages[one][each] for each in chosen]
                theirs = [languages[other][each] for each in chosen]
                true.append(pairing.lengths(ours, theirs))
                taken += pairing.above_chance(ours, theirs)
                theirs = draw.sample(theirs, size)
                shuffled.append(pairing.lengths(ours, theirs))
                if len(by_words) < BY_WORDS:
                    by_words.append(pairing.words(ours, theirs))
            if not true:
                continue
            found = sum(each >= pairing.ABOVE_IN_WORDS for each in by_words)
            lengths = sum(each >= pairing.ABOVE for each in shuffled)
            print(
                f"| {name} | {size} | {len(true)} | {min(true):.1f} or more | "
                f"{max(shuffled):.1f} or less | {taken} of {len(true)} | {lengths} of "
                f"{len(shuffled)}, {found} of {len(by_words)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
