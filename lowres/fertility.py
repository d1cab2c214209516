"""How a base's tokenizer serves a text: pieces a word, unknown pieces, what its normaliser drops.

One pass over lines of any number in flat memory (`counting.py`). A word here is what stands between
spaces, whatever the base takes for one, so that bases can be compared.
"""

from __future__ import annotations

import heapq
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from lowres import corpus, counting
from lowres.errors import DataError
from lowres.words import parted

SAMPLE_CHARACTERS: Final = 4_000_000
"""Words are looked at one by one in all of a text up to this size, in every n-th line beyond."""
EXAMPLES: Final = 5


@dataclass(frozen=True)
class Split:
    """A word and the pieces it falls into."""

    word: str
    pieces: tuple[str, ...]
    """As they stand in the word; `▁` is a space alone, `·` one more piece of the same character."""
    count: int


@dataclass(frozen=True)
class Measured:
    """What one tokenizer makes of one text."""

    lines: int
    words: int | None
    """What stands between spaces; None for a script that sets none, as in all figures of words."""
    characters: int
    """Without spaces."""
    bytes: int
    """In UTF-8, without line ends."""
    pieces: int
    unknown: int
    """Pieces that are the unknown one."""
    tokens_p95: int
    """95% of the lines have no more pieces than this, special ones not counted."""
    words_whole: float | None
    """Share of words that are one piece, punctuation at their ends left aside."""
    words_unknown: float | None
    """Share of words that hold an unknown piece."""
    lost: float
    """Share of letters and marks that the normaliser drops; upper case is no loss here."""
    longest: tuple[Split, ...]
    """Words without an unknown piece that fall into most; those seen once only come last."""
    with_unknown: tuple[str, ...]
    """The commonest words that hold an unknown piece."""
    notes: tuple[str, ...]

    @property
    def fertility(self) -> float | None:
        """Pieces a word."""
        return None if self.words is None else self.pieces / max(1, self.words)

    @property
    def pieces_a_character(self) -> float:
        """Pieces a character that is no space."""
        return self.pieces / max(1, self.characters)

    @property
    def bytes_a_piece(self) -> float:
        """Bytes of UTF-8 a piece."""
        return self.bytes / max(1, self.pieces)

    @property
    def unknown_share(self) -> float:
        """Unknown pieces over all."""
        return self.unknown / max(1, self.pieces)


def figures(measured: Measured) -> dict[str, Any]:
    """All of it as plain values, shares and ratios included."""
    ratios = ("fertility", "pieces_a_character", "bytes_a_piece", "unknown_share")
    rounded = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in asdict(measured).items()
    }
    for name in ratios:
        value = getattr(measured, name)
        rounded[name] = None if value is None else round(value, 6)
    return rounded


@dataclass(frozen=True)
class _OfWords:
    """The fields of `Measured` that need words."""

    whole: float | None = None
    unknown: float | None = None
    longest: tuple[Split, ...] = ()
    with_unknown: tuple[str, ...] = ()


class _Sample:
    """Parts spread evenly over a text: every n-th, n doubled whenever they become too many."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.every = 1
        self._seen = 0
        self._size = 0

    def add(self, part: str) -> None:
        if self._seen % self.every == 0:
            self.parts.append(part)
            self._size += len(part)
            while self._size > SAMPLE_CHARACTERS and len(self.parts) > 1:
                self.parts = self.parts[::2]
                self.every *= 2
                self._size = sum(map(len, self.parts))
        self._seen += 1


def measure(
    tokenizer: Any,
    lines: Iterable[str],
    script: str = "Latn",
    advance: Callable[[int], None] = lambda n: None,
) -> Measured:
    """Encode every line, without special tokens, and count.

    Args:
        tokenizer: a fast tokenizer of transformers, or one of the tokenizers library. Its
            truncation and padding are turned off meanwhile.
        lines: texts, one sentence each; read once.
        script: ISO 15924 code; says whether spaces part words.
        advance: told how many bytes have been done since it was last called.

    Raises:
        DataError: for no text at all.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    unknown_id = _unknown_id(tokenizer)
    spaced = script not in corpus.SPACELESS
    sample, sums = _Sample(), _Sums()
    with _whole_texts(backend):
        for found in counting.counted(backend, unknown_id, lines, spaced, sample.add):
            advance(sums.add(found))
        if not sums.pieces:
            raise DataError("no text to measure a tokenizer on; expected lines with words in them")
        of_words = _words(backend, unknown_id, sample.parts) if spaced else _OfWords()
    return Measured(
        lines=sum(sums.lengths.values()),
        words=sums.words if spaced else None,
        characters=sums.characters,
        bytes=sums.bytes,
        pieces=sums.pieces,
        unknown=sums.unknown,
        tokens_p95=_percentile(sums.lengths, 0.95),
        words_whole=of_words.whole,
        words_unknown=of_words.unknown,
        lost=_lost(backend, sample.parts),
        longest=of_words.longest,
        with_unknown=of_words.with_unknown,
        notes=_notes(sums, sample.every if spaced else 1),
    )


class _Sums:
    """What is added up over the batches of a text."""

    def __init__(self) -> None:
        self.lengths = Counter[int]()
        """Lines by their number of pieces."""
        self.words = self.characters = self.bytes = self.pieces = self.unknown = 0
        self.cut = 0
        self.exact = True
        self._carried = 0

    def add(self, found: counting.Counted) -> int:
        """Take a batch in; returns its bytes."""
        batch = found.batch
        self.pieces += int(found.pieces.sum())
        self.unknown += found.unknown
        self.exact &= found.exact
        ends = np.array(batch.ends)
        of_lines, self._carried = _by_line(found.pieces, ends, self._carried)
        self.lengths.update(of_lines)
        self.cut += len(ends) - int(ends.sum())
        together, joints = "\n".join(batch.parts), len(batch.parts) - 1
        self.words += len(together.split())
        self.characters += len(together) - together.count(" ") - joints
        size = len(together.encode()) - joints
        self.bytes += size
        return size


def _notes(sums: _Sums, every: int) -> tuple[str, ...]:
    notes = []
    if sums.cut:
        longest = f"{counting.LONGEST_PART:,}"
        notes.append(f"lines of more than {longest} characters were encoded in parts")
    if not sums.exact:
        notes.append(
            "some lines were counted word by word, which this tokenizer does not always do"
        )
    if every > 1:
        notes.append(f"words were looked at one by one in one line of {every}")
    return tuple(notes)


def _unknown_id(tokenizer: Any) -> int | None:
    """The id of the piece for what has none; None where there is no such piece (bytes)."""
    if hasattr(tokenizer, "backend_tokenizer"):
        found: int | None = tokenizer.unk_token_id
        return found
    model = json.loads(tokenizer.to_str())["model"]
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    return tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else None


@contextmanager
def _whole_texts(backend: Any) -> Iterator[None]:
    """No truncation and no padding, which some bases have in their tokenizer.json."""
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield
    finally:
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)


def _by_line(counts: Any, ends: Any, carried: int) -> tuple[list[int], int]:
    """Pieces a line, and those of a last line that goes on in the next batch."""
    sums = carried + np.cumsum(counts)
    at_ends = sums[ends]
    totals = np.diff(at_ends, prepend=0)
    rest = int(sums[-1]) - (int(at_ends[-1]) if len(at_ends) else 0)
    return totals.tolist(), rest


def _percentile(lengths: Counter[int], share: float) -> int:
    at, wanted = 0, share * sum(lengths.values())
    for length in sorted(lengths):
        at += lengths[length]
        if at >= wanted:
            return length
    return 0


def _words(backend: Any, unknown_id: int | None, parts: Iterable[str]) -> _OfWords:
    """Words one by one, each as often as it stands in the text."""
    counts = _word_counts(parts)
    words = list(counts)
    if not words:
        return _OfWords()
    pieces, unknown = [], []
    for start in range(0, len(words), 50_000):
        # behind a space, as inside a sentence: byte-level pieces know the difference
        texts = [f" {word}" for word in words[start : start + 50_000]]
        for encoding in backend.encode_batch_fast(texts, add_special_tokens=False):
            pieces.append(len(encoding))
            unknown.append(unknown_id is not None and unknown_id in encoding.ids)
    often, holds_unknown = np.array([counts[word] for word in words]), np.array(unknown)
    whole = (np.array(pieces) == 1) & ~holds_unknown
    plain = [i for i, word in enumerate(words) if _is_plain(word)]
    longest = heapq.nsmallest(
        EXAMPLES,
        (i for i in plain if not unknown[i]),
        key=lambda i: (counts[words[i]] == 1, -pieces[i], -counts[words[i]], words[i]),
    )
    with_unknown = heapq.nsmallest(
        EXAMPLES,
        (i for i in plain if unknown[i]),
        key=lambda i: (-counts[words[i]], words[i]),
    )
    return _OfWords(
        float(often @ whole) / int(often.sum()),
        float(often @ holds_unknown) / int(often.sum()),
        tuple(_split(backend, words[i], counts[words[i]]) for i in longest),
        tuple(words[i] for i in with_unknown),
    )


def _word_counts(parts: Iterable[str]) -> Counter[str]:
    """Words with a letter in them, without the punctuation at their ends."""
    import regex

    letter = regex.compile(r"\p{L}")
    raw: Counter[str] = Counter()
    for part in parts:
        raw.update(part.split())
    counts: Counter[str] = Counter()
    for word, count in raw.items():
        if letter.search(word):
            counts[parted(word)[1]] += count
    return counts


def _is_plain(word: str) -> bool:
    """No address, number or compound: those fall into many pieces in any language."""
    return all(unicodedata.category(character)[0] in "LM" for character in word)


def _split(backend: Any, word: str, count: int) -> Split:
    pieces, before = [], (0, 0)
    encoding = backend.encode(f" {word}", add_special_tokens=False)
    for token, span in zip(encoding.tokens, encoding.offsets, strict=True):
        if token in "▁Ġ":
            pieces.append("▁")  # its span may be the letter behind it
            continue
        pieces.append("·" if span == before else f" {word}"[slice(*span)].strip())
        before = span
    return Split(word, tuple(pieces), count)


def _lost(backend: Any, parts: list[str]) -> float:
    """Share of letters and marks, decomposed and without case, that the normaliser drops."""
    if backend.normalizer is None:
        return 0.0
    looked_at = parts[:: 1 + sum(map(len, parts)) // (SAMPLE_CHARACTERS // 10)]
    before, after = Counter[str](), Counter[str]()
    for part in looked_at:
        before.update(unicodedata.normalize("NFKD", part.casefold()))
        normal = backend.normalizer.normalize_str(part)
        after.update(unicodedata.normalize("NFKD", normal.casefold()))
    letters = {c: n for c, n in before.items() if unicodedata.category(c)[0] in "LM"}
    gone = sum(max(0, n - after[c]) for c, n in letters.items())
    return gone / max(1, sum(letters.values()))
