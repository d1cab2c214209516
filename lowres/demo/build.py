#!/usr/bin/env python3
"""Build the demonstration data set from its marked-up sources.

Each ``source/{lang}.txt`` holds one sentence a line, in three tab-separated
fields: id, split and marked text, where an entity is written ``[PER Amina]``.
This script writes ``{lang}/{split}.jsonl`` beside it and checks the whole set:

* every language has the same ids, each in the same split;
* every sentence has the same entity types, equally often, in every language;
* every topic has the same number of sentences in each split;
* entity marks cover whole words, no text is empty or occurs twice in a
  language, and the tokens spell out the text.

To regenerate the files after editing a source, from the repository root::

    python lowres/demo/build.py

``--check`` writes nothing and fails if a file differs from its source.
Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LANGUAGES = (
    "eng_Latn",
    "swh_Latn",
    "hau_Latn",
    "ind_Latn",
    "hin_Deva",
    "yor_Latn",
    "amh_Ethi",
    "kin_Latn",
    "spa_Latn",
)
TOPICS = ("food", "health", "sports", "travel", "school", "weather")
PER_TOPIC = {"train": 12, "dev": 3, "test": 7}
TYPES = ("PER", "LOC", "ORG")

MARK = re.compile(r"\[(" + "|".join(TYPES) + r") ([^\[\]]+)\]")
INNER = "'’-"  # Part of a word wherever they stand, as in Hausa 'yan.


class DataError(ValueError):
    """A source file, or the set as a whole, breaks one of the rules."""


@dataclass(frozen=True)
class Sentence:
    """One sentence with its topic and BIO entity tags."""

    id: str
    split: str
    text: str
    topic: str
    tokens: list[str]
    tags: list[str]

    @property
    def entity_types(self) -> Counter[str]:
        """How many entities of each type the sentence has."""
        return Counter(tag[2:] for tag in self.tags if tag.startswith("B-"))

    def to_json(self) -> str:
        """Return the sentence as one line of the output."""
        row = {
            "id": self.id,
            "text": self.text,
            "topic": self.topic,
            "tokens": self.tokens,
            "tags": self.tags,
        }
        return json.dumps(row, ensure_ascii=False)


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char).startswith("P") and char not in INNER


def token_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each token.

    Words are separated by white space; each punctuation mark at either end of
    a word is a token of its own. Apostrophes and hyphens stay in their word.
    """
    spans: list[tuple[int, int]] = []
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        left, right = start, end
        while left < right and _is_punctuation(text[left]):
            left += 1
        while right > left and _is_punctuation(text[right - 1]):
            right -= 1
        spans.extend((i, i + 1) for i in range(start, left))
        if left < right:
            spans.append((left, right))
        spans.extend((i, i + 1) for i in range(right, end))
    return spans


def parse_marked(marked: str) -> tuple[str, list[str], list[str]]:
    """Turn marked text into plain text, tokens and BIO tags."""
    text = ""
    entities: list[tuple[int, int, str]] = []
    position = 0
    for match in MARK.finditer(marked):
        text += marked[position : match.start()]
        entities.append((len(text), len(text) + len(match[2]), match[1]))
        text += match[2]
        position = match.end()
    text += marked[position:]
    if "[" in text or "]" in text:
        raise DataError(f"malformed entity mark in {marked!r}")

    spans = token_spans(text)
    tags = ["O"] * len(spans)
    for start, end, kind in entities:
        inside = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
        if spans[inside[0]][0] != start or spans[inside[-1]][1] != end:
            raise DataError(f"{text[start:end]!r} is not whole words in {text!r}")
        for n, i in enumerate(inside):
            tags[i] = f"{'I' if n else 'B'}-{kind}"
    return text, [text[a:b] for a, b in spans], tags


def parse_line(line: str) -> Sentence:
    """Parse and check one line of a source file."""
    fields = line.split("\t")
    if len(fields) != 3:
        raise DataError(f"expected 3 tab-separated fields in {line!r}")
    sentence_id, split, marked = fields
    topic = sentence_id.rpartition("-")[0]
    if topic not in TOPICS or split not in PER_TOPIC:
        raise DataError(f"unknown topic or split in {line!r}")
    if marked != unicodedata.normalize("NFC", " ".join(marked.split())):
        raise DataError(f"text not in NFC, or irregular spaces, in {line!r}")
    if not marked:
        raise DataError(f"empty text in {line!r}")
    text, tokens, tags = parse_marked(marked)
    if "".join(tokens) != text.replace(" ", ""):
        raise DataError(f"tokens do not spell out {text!r}")
    return Sentence(sentence_id, split, text, topic, tokens, tags)


def read_source(path: Path) -> dict[str, Sentence]:
    """Read one language's source file, by sentence id."""
    sentences: dict[str, Sentence] = {}
    texts: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            sentence = parse_line(line)
            if sentence.id in sentences or sentence.text in texts:
                raise DataError(f"repeated id or text in {line!r}")
        except DataError as error:
            raise DataError(f"{path.name}:{number}: {error}") from None
        sentences[sentence.id] = sentence
        texts.add(sentence.text)
    return sentences


def check_parallel(data: dict[str, dict[str, Sentence]]) -> None:
    """Check the split sizes, and every language against the first one."""
    first, *others = data
    counts = Counter((s.topic, s.split) for s in data[first].values())
    expected = {(t, s): n for t in TOPICS for s, n in PER_TOPIC.items()}
    if counts != expected:
        raise DataError(f"{first}: unexpected split sizes {dict(counts)}")
    for lang in others:
        if list(data[lang]) != list(data[first]):
            raise DataError(f"{lang}: ids, or their order, differ from {first}")
        for sentence_id, sentence in data[lang].items():
            reference = data[first][sentence_id]
            if sentence.split != reference.split:
                raise DataError(f"{lang}: {sentence_id}: split differs from {first}")
            if sentence.entity_types != reference.entity_types:
                raise DataError(f"{lang}: {sentence_id}: entities differ from {first}")


def render(data: dict[str, dict[str, Sentence]]) -> dict[Path, str]:
    """Return the content of each output file, by path relative to this folder."""
    return {
        Path(lang, f"{split}.jsonl"): "".join(
            sentence.to_json() + "\n" for sentence in sentences.values() if sentence.split == split
        )
        for lang, sentences in data.items()
        for split in PER_TOPIC
    }


def main(argv: list[str] | None = None) -> int:
    """Build or check the data set; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the demonstration data set.")
    parser.add_argument(
        "--check", action="store_true", help="compare with the files, write nothing"
    )
    args = parser.parse_args(argv)
    try:
        data = {lang: read_source(HERE / "source" / f"{lang}.txt") for lang in LANGUAGES}
        check_parallel(data)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    files = render(data)
    if args.check:
        stale = [
            path
            for path, content in files.items()
            if not (HERE / path).is_file() or (HERE / path).read_bytes() != content.encode("utf-8")
        ]
        for path in stale:
            print(f"error: {path} is out of date", file=sys.stderr)
        return 1 if stale else 0
    for path, content in files.items():
        target = HERE / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(content, encoding="utf-8", newline="\n")
    total = sum(len(sentences) for sentences in data.values())
    print(f"wrote {total} sentences in {len(data)} languages to {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
