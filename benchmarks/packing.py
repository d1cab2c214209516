"""How much of a batch is padding, by how batches are made: what packing could gain.

    python benchmarks/packing.py            # SIB-200 and NusaX; half a minute, nothing is trained
    python benchmarks/packing.py --quick    # three languages
    python benchmarks/packing.py --json

Real texts, tokenised for e5-small, batches of 16, the mean of three epochs. "lowres" are the
batches that it trains on, grouped by length (lowres/sampling.py); the peer are batches as they are
drawn, padded to their longest text. Packed batches, with attention in blocks, would have no padding
at all: more than its share is not to be gained by them. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables

BATCH, EPOCHS, MAX_TOKENS = 16, 3, 128
QUICK = ("sib200/eng_Latn", "sib200/khm_Khmr", "nusax/indonesian")


def texts(file: Path) -> list[str]:
    """The texts of a training set."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",")
        return [row["text"] for row in rows]


def padding(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the positions of batches that is padding; a batch is the places of its texts."""
    real = sum(lengths[place] for batch in batches for place in batch)
    held = sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
    return 1 - real / held


def grouped(lengths: Sequence[int], epoch: int) -> list[list[int]]:
    """As lowres trains."""
    from lowres.sampling import LengthGrouped

    order = LengthGrouped(lengths, BATCH, seed=1)
    order.set_epoch(epoch)
    places = list(order)
    return [places[start : start + BATCH] for start in range(0, len(places), BATCH)]


def drawn(lengths: Sequence[int], epoch: int) -> list[list[int]]:
    """As they come."""
    places = np.random.default_rng((1, epoch)).permutation(len(lengths)).tolist()
    return [places[start : start + BATCH] for start in range(0, len(places), BATCH)]


def share(lengths: Sequence[int], make: Any) -> float:
    """The mean share of padding over epochs."""
    return float(np.mean([padding(lengths, make(lengths, epoch)) for epoch in range(EPOCHS)]))


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    data = tables.data("sib200", "nusax")
    from lowres import bases, model

    tokenizer: Any = model.load_tokenizer(bases.locate("e5-small"))
    sets: dict[str, list[tuple[float, float]]] = {}
    rows = []
    for file in sorted([*data.glob("sib200/*/train.tsv"), *data.glob("nusax/*/train.csv")]):
        name = f"{file.parent.parent.name}/{file.parent.name}"
        if asked.quick and name not in QUICK:
            continue
        ids = tokenizer(texts(file), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        lengths = [len(each) for each in ids]
        both = share(lengths, grouped), share(lengths, drawn)
        sets.setdefault(file.parent.parent.name, []).append(both)
        if name in QUICK:
            middle = f"{np.mean(lengths):.0f} tokens a text, {max(lengths)} at most"
            rows.append(tables.row(f"{name} ({middle})", "share", *both))
    for name, shares in sets.items():
        sides = zip(*shares, strict=True)
        rows.append(tables.measured(f"{name}, {len(shares)} languages", "share", *map(list, sides)))
    most = max(one for shares in sets.values() for one, _ in shares)
    note = (
        f"without any padding a step would take at least {1 - most:.3f} of its time in the worst "
        f"language: packing could gain {most / (1 - most):.1%} at most"
    )
    tables.show(rows, asked.json, ("padding, lowres", "padding, as drawn"), [note])


if __name__ == "__main__":
    main()
