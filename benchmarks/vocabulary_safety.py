"""How much shorter a language becomes, and which others change: over `SAFE_BELOW`.

    python benchmarks/vocabulary_safety.py knc_Latn bam_Latn nus_Latn
    python benchmarks/vocabulary_safety.py --shipped

Extends e5-small's vocabulary with `auto` at several thresholds of how probable a piece may be in
other languages; or takes the extensions of `tokenizers/` as they are. The languages counted are
those of SIB-200 at hand, dev and test sentences, none of which choose the pieces.

Reads $LOWRES_DATA (default ../shared/data); some 20 s a row.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lowres import bases, extension, material, model, prebuilt, vocabulary
from lowres.extend import learn
from lowres.recipe_text import Extend, Text
from lowres.tokenizer_families import unigram

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
THRESHOLDS = (-24.0, -21.0, -19.0)


def sentences(folder: Path, parts: Sequence[str] = ("dev", "test")) -> list[str]:
    """Of one language of SIB-200."""
    found = []
    for part in parts:
        with (folder / f"{part}.tsv").open(encoding="utf-8", newline="") as file:
            found += [row["text"] for row in csv.DictReader(file, delimiter="\t")]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*")
    parser.add_argument("--shipped", action="store_true", help="the extensions of tokenizers/")
    given = parser.parse_args()
    if given.shipped == bool(given.languages):
        parser.error("give languages to extend for, or --shipped")
    if not (DATA / "text").is_dir():
        sys.exit(f"no texts at {DATA}/text; set LOWRES_DATA to the folder of the data sets")
    located = bases.locate("e5-small")
    tokenizer = model.load_tokenizer(located)
    others = {path.name: sentences(path) for path in sorted((DATA / "sib200").glob("*_*"))}
    if given.shipped:
        shipped(extension.state_of(tokenizer), others)
    else:
        thresholds(given.languages, located, tokenizer, others)


def shipped(state: dict[str, Any], others: Mapping[str, Sequence[str]]) -> None:
    """A row an extension of `tokenizers/`."""
    before = vocabulary.build(state)
    print("| extension | pieces | fewer | sentences changed elsewhere | of all of them |")
    print("|---|---:|---:|---|---:|")
    for name in prebuilt.names():
        found = prebuilt.read(name)
        after = vocabulary.build(extension.extended_state(state, found.pieces, name))
        (its,) = found.provenance["held_out"]
        fewer = 1 - its["pieces_after"] / its["pieces_before"]
        where, share = elsewhere(before, after, its["language"], others)
        print(
            f"| {name} | {len(found.pieces)} | {fewer:.1%} | {where} | {share} |",
            flush=True,
        )


def elsewhere(
    before: Tokenizer, after: Tokenizer, language: str, others: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """The languages that change most, and how many hardly do; the share of all their sentences."""
    shares = {
        name: vocabulary.changed_share(before, after, lines)
        for name, lines in others.items()
        if name != language
    }
    ordered = sorted(((share, name) for name, share in shares.items()), reverse=True)
    most = [f"{name} {share:.1%}" for share, name in ordered[:5] if share]
    little = sum(share <= 0.01 for share in shares.values())
    together = sum(share * len(others[name]) for name, share in shares.items())
    every = sum(len(others[name]) for name in shares)
    said = [*([", ".join(most)] if most else []), f"{little} of {len(shares)} at most 1%"]
    return "; ".join(said), f"{together / every:.2%}"


def thresholds(
    languages: Sequence[str],
    located: bases.LocatedBase,
    tokenizer: Any,
    others: Mapping[str, Sequence[str]],
) -> None:
    """A row for each language and threshold."""
    state = extension.state_of(tokenizer)
    before = vocabulary.build(state)
    print("| language | e^ | pieces | pieces a word | fewer | sentences changed | of all |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for language in languages:
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
            its = found.languages[0]
            where, share = elsewhere(before, after, language, others)
            print(
                f"| {language} | {threshold:g} | {len(found.pieces)} | {its.fertility_before:.2f} "
                f"-> {its.fertility_after:.2f} | {1 - its.pieces_after / its.pieces_before:.1%} | "
                f"{where} | {share} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
