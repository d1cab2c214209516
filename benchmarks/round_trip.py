"""Whether text comes back from an extended tokenizer as it did before: decode(encode(line)).

    python benchmarks/round_trip.py              # all, some three minutes on one core
    python benchmarks/round_trip.py tzm_Tfng     # the shipped extensions of these languages alone

The extensions of `tokenizers/` over e5-small's vocabulary (Unigram), and new ones learnt here for
minilm-en (WordPiece) and for a byte-level BPE that is trained here on English. Lines: the last 300
of a language's text, from which nothing was learnt, and sentences of SIB-200's test sets in every
language at hand, the first of each `--sentences`.

Two figures: lines that come back to the letter, spaces at the ends aside; and lines of which all
comes back that the normaliser leaves, spaces aside (a base that lower-cases gives nothing back to
the letter). `lost` counts lines that came back before and do not now, by either figure; the exit
status is 1 where there is one.

Reads $LOWRES_DATA (default ../shared/data); all rows together are written to
benchmarks/results/round_trip.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tables
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from lowres import bases, extension, model, prebuilt, tokenizer_families, vocabulary
from lowres.extend import kept_text

FILE = tables.ROOT / "benchmarks" / "results" / "round_trip.json"
HELD = 300
LEARNT_FOR = ("nus_Latn", "tzm_Tfng")
"""What WordPiece and BPE are extended for: letters that they lack, a script that they lack."""
PIECES = 1_000
BPE_PIECES = 8_000


@dataclass(frozen=True)
class Row:
    """One tokenizer on the lines of one kind of text, before and after."""

    tokenizer: str
    family: str
    text: str
    lines: int
    letters_before: int
    letters_after: int
    """Lines that come back to the letter."""
    whole_before: int
    whole_after: int
    """Lines that come back but for the normaliser and spaces."""
    lost: int


def came_back(tokenizer: Tokenizer, lines: Sequence[str]) -> list[tuple[bool, bool]]:
    """Of each line, whether decode(encode(line)) is it: to the letter; but for normaliser and
    spaces."""
    ids = [e.ids for e in tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)]
    normal = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    return [
        (line.strip() == back.strip(), _squeezed(normal(line)) == _squeezed(back))
        for line, back in zip(lines, tokenizer.decode_batch(ids), strict=True)
    ]


def _squeezed(text: str) -> str:
    # a Unigram's normaliser may put the mark of a space in its place
    return "".join(text.replace("▁", " ").split())


def compared(
    name: str, family: str, text: str, before: Sequence[tuple[bool, bool]],
    after: Sequence[tuple[bool, bool]],
) -> Row:  # fmt: skip
    """A row from what `came_back` says of the same lines."""
    lost = sum(
        any(was and not now for was, now in zip(old, new, strict=True))
        for old, new in zip(before, after, strict=True)
    )
    return Row(
        name, family, text, len(before),
        sum(old[0] for old in before), sum(new[0] for new in after),
        sum(old[1] for old in before), sum(new[1] for new in after),
        lost,
    )  # fmt: skip


def rows_of(
    name: str,
    state: dict[str, Any],
    pieces: Sequence[str],
    texts: Mapping[str, Sequence[str]],
) -> list[Row]:
    """A row a text."""
    before = vocabulary.build(state)
    after = vocabulary.build(extension.extended_state(state, pieces, name))
    family = tokenizer_families.of(state, name).LABEL
    return [
        compared(name, family, text, came_back(before, lines), came_back(after, lines))
        for text, lines in texts.items()
    ]


def held_out(language: str, lexicon: bool = False) -> list[str]:
    """The last lines of a language's text, or the last words of its list."""
    folder, end = ("lexicons", "tsv") if lexicon else ("text", "txt")
    lines = (tables.DATA / folder / f"{language}.{end}").read_text(encoding="utf-8").split("\n")
    words = [line.split("\t")[1] if lexicon else line for line in lines if line.strip()]
    return words[-HELD:]


def elsewhere(sentences: int) -> list[str]:
    """Sentences of every language of SIB-200 at hand."""
    found = []
    for folder in sorted((tables.DATA / "sib200").glob("*_*")):
        with (folder / "test.tsv").open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_MINIMAL)
            found += [row["text"] for row in rows][:sentences]
    return found


def learnt(name: str, state: dict[str, Any], language: str, others: Sequence[str]) -> list[Row]:
    """An extension made here for a language, with the sentences that lowres keeps."""
    lines = (tables.DATA / "text" / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    keep = vocabulary.halved(kept_text((), (language,)))
    found = vocabulary.learn(state, {language: lines[:-HELD]}, keep.choosing, PIECES, name)
    texts = {language: held_out(language), "SIB-200, all languages": others}
    return [
        Row(**{**asdict(row), "tokenizer": f"{name} + {len(found.pieces)} for {language}"})
        for row in rows_of(name, state, found.pieces, texts)
    ]


def byte_level() -> dict[str, Any]:
    """A byte-level BPE of English alone."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train([str(tables.DATA / "text/eng_Latn.txt")], BPE_PIECES, show_progress=False)
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    return state


def state_of(base: str) -> dict[str, Any]:
    """Of a base's tokenizer."""
    found: dict[str, Any] = extension.state_of(model.load_tokenizer(bases.locate(base)))
    return found


def every_row(languages: Sequence[str], sentences: int) -> list[Row]:
    """Of the shipped extensions, and of the other families where no language is named."""
    others = elsewhere(sentences)
    state, found = state_of("e5-small"), []
    for name in prebuilt.names():
        shipped = prebuilt.read(name)
        language = shipped.provenance["held_out"][0]["language"]
        if languages and language not in languages:
            continue
        lexicon = shipped.provenance["learned_from"][0]["file"].endswith(".tsv")
        texts = {language: held_out(language, lexicon), "SIB-200, all languages": others}
        found += rows_of(name, state, shipped.pieces, texts)
        say(f"{name} done")
    if languages:
        return found
    for name, made in (("minilm-en", state_of("minilm-en")), ("BPE of English", byte_level())):
        for language in LEARNT_FOR:
            found += learnt(name, made, language, others)
            say(f"{name}, {language} done")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(rows: Sequence[Row]) -> None:
    """As Markdown."""
    print(
        "| tokenizer | family | text | lines | to the letter | but for normaliser, spaces | lost |"
    )
    print("|---|---|---|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row.tokenizer} | {row.family} | {row.text} | {row.lines:,} "
            f"| {row.letters_before:,} → {row.letters_after:,} "
            f"| {row.whole_before:,} → {row.whole_after:,} | {row.lost} |"
        )


def main(words: Sequence[str] | None = None, file: Path = FILE) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*", help="of shipped extensions; all by default")
    parser.add_argument("--sentences", type=int, default=20, help="of SIB-200 a language")
    given = parser.parse_args(words)
    tables.data("text", "sib200", "lexicons")
    rows = every_row(given.languages, given.sentences)
    show(rows)
    if not given.languages:
        text = json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    return 1 if any(row.lost for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
