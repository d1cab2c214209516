"""How much shorter a language becomes, and which others change: over `SAFE_BELOW`.

    python benchmarks/vocabulary_safety.py knc_Latn bam_Latn nus_Latn

Extends e5-small's vocabulary with `auto` at several thresholds of how probable a piece may be in
other languages. The languages counted are those of SIB-200 at hand, dev and test sentences, none
of which choose the pieces. Reads $LOWRES_DATA (default ../shared/data); some 20 s a row.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

from lowres import bases, extension, material, model, vocabulary
from lowres.extend import learn
from lowres.recipe_text import Extend, Text
from lowres.tokenizer_families import unigram

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
THRESHOLDS = (-24.0, -21.0, -19.0)


def sentences(folder: Path) -> list[str]:
    """Dev and test of one language of SIB-200."""
    found = []
    for part in ("dev", "test"):
        with (folder / f"{part}.tsv").open(encoding="utf-8", newline="") as file:
            found += [row["text"] for row in csv.DictReader(file, delimiter="\t")]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="+")
    given = parser.parse_args()
    if not (DATA / "text").is_dir():
        sys.exit(f"no texts at {DATA}/text; set LOWRES_DATA to the folder of the data sets")
    located = bases.locate("e5-small")
    tokenizer = model.load_tokenizer(located)
    state = extension.state_of(tokenizer)
    before = vocabulary.build(state)
    others = {path.name: sentences(path) for path in sorted((DATA / "sib200").glob("*_*"))}
    print("| language | e^ | pieces | pieces a word | fewer | sentences changed elsewhere |")
    print("|---|---:|---:|---:|---:|---|")
    for language in given.languages:
        text = Text(
            files=str(DATA / "text/{lang}.txt"),
            translations=str(DATA / "text/eng_Latn.txt"),
            languages=(language,),
        )
        texts = material.load(text, ())
        for threshold in THRESHOLDS:
            unigram.SAFE_BELOW = threshold
            found = learn(Extend(), located, texts, tokenizer)
            after = vocabulary.build(extension.extended_state(state, found.pieces, located.name))
            shares = [
                (vocabulary.changed_share(before, after, lines), name)
                for name, lines in others.items()
                if name != language
            ]
            most = sorted(shares, reverse=True)[:5]
            its = found.languages[0]
            print(
                f"| {language} | {threshold:g} | {len(found.pieces)} | {its.fertility_before:.2f} "
                f"-> {its.fertility_after:.2f} | {1 - its.pieces_after / its.pieces_before:.1%} | "
                + ", ".join(f"{name} {share:.1%}" for share, name in most)
                + f"; {sum(share <= 0.01 for share, _ in shares)} of {len(shares)} at most 1% |",
                flush=True,
            )


if __name__ == "__main__":
    main()
