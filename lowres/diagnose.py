"""Whether a base's tokenizer serves a text: a verdict beside English, with the figure behind it.

Languages that set spaces are judged by pieces a word; other scripts by pieces a character, Han by
bytes a piece, since one of its characters says as much as several letters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from lowres import corpus
from lowres.errors import DataError
from lowres.fertility import EXAMPLES, Measured, figures
from lowres.fertility import measure as measure

LOST_AT_MOST: Final = 0.05
"""`replace`: above this share of letters and marks that the normaliser drops."""
UNKNOWN_SCRIPT: Final = 0.2
"""`script unknown`: above this share of unknown pieces."""
UNKNOWN_WORDS: Final = 0.5
"""`script unknown`: above this share of words that hold an unknown piece."""
PIECES_A_CHARACTER: Final = 1.0
"""`script unknown`: above this, as no character shares a piece with another (bytes)."""
PIECES_A_HAN_CHARACTER: Final = 1.5
"""The same for Han, whose characters are pieces of their own where the script is known."""
UNKNOWN_AT_MOST: Final = 0.001
"""`extend`: above this share of unknown pieces."""
TIMES_ENGLISH: Final = 1.5
"""`extend`: above this many times English's pieces a word (a character; bytes the other way)."""
PIECES_A_WORD: Final = 2.0
"""`extend`: and above this many pieces a word, where words are what is measured."""


THRESHOLDS: Final[Mapping[str, float]] = {
    "lost_at_most": LOST_AT_MOST,
    "unknown_script": UNKNOWN_SCRIPT,
    "unknown_words": UNKNOWN_WORDS,
    "pieces_a_character": PIECES_A_CHARACTER,
    "pieces_a_han_character": PIECES_A_HAN_CHARACTER,
    "unknown_at_most": UNKNOWN_AT_MOST,
    "times_english": TIMES_ENGLISH,
    "pieces_a_word": PIECES_A_WORD,
}
RULES: Final = (
    f"replace: over {LOST_AT_MOST:.0%} of letters and marks dropped. script unknown: over "
    f"{UNKNOWN_SCRIPT:.0%} unknown pieces, {UNKNOWN_WORDS:.0%} of words with one, or "
    f"{PIECES_A_CHARACTER:g} pieces a character (Han {PIECES_A_HAN_CHARACTER:g}). extend: over "
    f"{UNKNOWN_AT_MOST:.1%} unknown pieces, or over {TIMES_ENGLISH:g} times English's pieces a "
    f"word and over {PIECES_A_WORD:g}; where no spaces are set, over {TIMES_ENGLISH:g} times "
    f"English's pieces a character (Han: under 1/{TIMES_ENGLISH:g} of its bytes a piece)."
)
"""The thresholds in words."""
_HAN: Final = frozenset({"Hani", "Hans", "Hant", "Hanb", "Jpan", "Kore"})

Word = Literal["fine", "extend", "replace", "script unknown"]


@dataclass(frozen=True)
class Verdict:
    """What to do with a base's tokenizer for a text, in words."""

    word: Word
    reason: str
    """The figure and the threshold that decided."""
    advice: str


def verdict(measured: Measured, english: Measured, script: str) -> Verdict:
    """What these figures say, beside the same tokenizer's on English. See the constants above."""
    m = measured
    if m.lost > LOST_AT_MOST:
        return Verdict(
            "replace",
            f"the normaliser drops {m.lost:.0%} of the letters and marks (over {LOST_AT_MOST:.0%})",
            "no piece can bring them back: take a base that keeps them",
        )
    advice = "extend the tokenizer and adapt the base, or take a base that has seen the script"
    limit = PIECES_A_HAN_CHARACTER if script in _HAN else PIECES_A_CHARACTER
    if m.unknown_share > UNKNOWN_SCRIPT:
        reason = f"{m.unknown_share:.0%} of the pieces are unknown (over {UNKNOWN_SCRIPT:.0%})"
        return Verdict("script unknown", reason, advice)
    if m.words_unknown is not None and m.words_unknown > UNKNOWN_WORDS:
        reason = f"{m.words_unknown:.0%} of the words hold an unknown piece"
        return Verdict("script unknown", f"{reason} (over {UNKNOWN_WORDS:.0%})", advice)
    if m.pieces_a_character > limit:
        reason = f"{m.pieces_a_character:.2f} pieces a character (over {limit:g}): single bytes"
        return Verdict("script unknown", reason, advice)
    too_many = _too_many(m, english, script)
    if m.unknown_share > UNKNOWN_AT_MOST:
        reason = f"{m.unknown_share:.2%} of the pieces are unknown (over {UNKNOWN_AT_MOST:.1%})"
        too_many = f"{too_many}; {reason}" if too_many else reason
    if too_many:
        return Verdict("extend", too_many, "new pieces would shorten or complete the text")
    return Verdict("fine", "no figure is beyond its threshold", "use the tokenizer as it is")


def _too_many(m: Measured, english: Measured, script: str) -> str | None:
    """The figure that shows text falling into too many pieces, or None."""
    beside = f"over {TIMES_ENGLISH:g} times English's"
    if m.fertility is not None and english.fertility is not None:
        far = m.fertility > TIMES_ENGLISH * english.fertility and m.fertility > PIECES_A_WORD
        said = f"{m.fertility:.2f} pieces a word ({beside} {english.fertility:.2f}"
        return f"{said}, and over {PIECES_A_WORD:g})" if far else None
    if script in _HAN:
        far = m.bytes_a_piece * TIMES_ENGLISH < english.bytes_a_piece
        said = f"{m.bytes_a_piece:.2f} bytes a piece (under 1/{TIMES_ENGLISH:g} of English's"
        return f"{said} {english.bytes_a_piece:.2f})" if far else None
    far = m.pieces_a_character > TIMES_ENGLISH * english.pieces_a_character
    said = f"{m.pieces_a_character:.2f} pieces a character ({beside}"
    return f"{said} {english.pieces_a_character:.2f})" if far else None


@cache
def english_lines() -> tuple[str, ...]:
    """The yardstick: the English sentences of the demonstration data."""
    files = sorted((Path(__file__).parent / "demo" / "eng_Latn").glob("*.jsonl"))
    rows = (row for file in files for row in file.read_text(encoding="utf-8").splitlines())
    return tuple(json.loads(row)["text"] for row in rows)


@dataclass(frozen=True)
class Unreachable:
    """Pieces that a tokenizer never gives, whatever the text."""

    count: int
    vocabulary: int
    """Pieces that were looked at: all but special and added ones."""
    examples: tuple[str, ...]


def unreachable(tokenizer: Any) -> Unreachable | None:
    """Pieces that never come out when their own text is encoded; None for a kind it cannot tell.

    Two reasons are looked for. The model itself splits the piece's text otherwise: a better path
    (Unigram), merges that never lead to it (BPE); as both work inside a word, no context mends
    that. Or the normaliser or the pre-tokeniser changes or parts its text (upper case in a base
    that lower-cases, punctuation inside a piece), looked at once behind a letter and once behind a
    space. Their rows in the base are dead weight, and a sign of a damaged or rebuilt tokenizer
    where there are many.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    model = backend.model
    if getattr(model, "end_of_word_suffix", None):
        return None
    added = set(backend.get_added_tokens_decoder())
    vocabulary = backend.get_vocab(with_added_tokens=False)
    pieces = [(piece, index) for piece, index in vocabulary.items() if index not in added]
    inside = getattr(model, "continuing_subword_prefix", None) or ""
    lost = sorted(
        (index, piece) for piece, index in pieces if not _comes_out(backend, piece, index, inside)
    )
    return Unreachable(len(lost), len(pieces), tuple(piece for _, piece in lost[:EXAMPLES]))


def _comes_out(backend: Any, piece: str, index: int, inside: str) -> bool:
    goes_on = bool(inside) and piece.startswith(inside)
    if re.fullmatch(r"<0x[0-9A-F]{2}>", piece):
        return True  # a byte, for what has no piece
    # longest match first: WordPiece gives every piece back that stands in its word as it is
    if not inside and [token.id for token in backend.model.tokenize(piece)] != [index]:
        return False
    core = piece.removeprefix(inside) if goes_on else piece
    # behind q, since no mark melts into one letter with it
    text = backend.decoder.decode(["q", piece]) if backend.decoder else f"q{core}"
    if "\ufffd" in text:
        return True  # part of a character: only the model sees it
    normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
    split = backend.pre_tokenizer.pre_tokenize_str(normal) if backend.pre_tokenizer else None
    chunks = [normal] if split is None else [chunk for chunk, _ in split]
    if goes_on:
        return any(f"q{core}" in chunk for chunk in chunks)
    return any(chunk.startswith(core) if inside else core in chunk for chunk in chunks)


@dataclass(frozen=True)
class Text:
    """A file to look at, checked."""

    path: Path
    language: str | None
    script: str
    """ISO 15924: the language's, else that of most letters."""
    notes: tuple[str, ...]
    """Warnings: letters of other scripts, little text."""


@dataclass(frozen=True)
class Base:
    """A base's tokenizer and what is the same for every text."""

    name: str
    tokenizer: Any
    english: Measured
    unreachable: Unreachable | None
    lower_cases: bool


@dataclass(frozen=True)
class Finding:
    """One base on one text."""

    base: Base
    text: Text
    measured: Measured
    verdict: Verdict


def open_text(path: Path, language: str | None) -> Text:
    """Check a file's first text, its script and its size. Raises `DataError`."""
    next(corpus.texts(path))  # a file that is no text says so before its letters are counted
    sample = corpus.sample(path)
    notes = []
    if language is None:
        counted = corpus.scripts(sample)
        if not counted:
            raise DataError(f"{path}: holds no letters of any script; expected text")
        script = counted.most_common(1)[0][0]
    else:
        script = language.split("_")[1]
        notes.append(corpus.check_script(path, language, sample))  # names the file itself
    little = corpus.support(corpus.words(sample))
    notes.append(little and f"{path.name}: {little}")
    return Text(path, language, script, tuple(note for note in notes if note))


def open_base(name: str, tokenizer: Any) -> Base:
    """Measure what a tokenizer makes of English and of its own vocabulary."""
    backend = tokenizer.backend_tokenizer
    lowered = backend.normalizer is not None and backend.normalizer.normalize_str("A") == "a"
    english = measure(tokenizer, english_lines())
    return Base(name, tokenizer, english, unreachable(tokenizer), lowered)


def examine(base: Base, text: Text, advance: Callable[[int], None] = lambda n: None) -> Finding:
    """One base on one text, in one pass. Raises `DataError` for a line that cannot be read."""
    measured = measure(base.tokenizer, corpus.texts(text.path), text.script, advance)
    said = verdict(measured, base.english, text.script)
    return Finding(base, text, measured, said)


def plain(findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything as JSON has it."""
    return {
        "thresholds": THRESHOLDS,
        "findings": [
            {
                "text": str(found.text.path),
                "language": found.text.language,
                "script": found.text.script,
                "warnings": [*found.text.notes, *found.measured.notes],
                "base": found.base.name,
                "verdict": found.verdict.word,
                "reason": found.verdict.reason,
                "advice": found.verdict.advice,
                "measured": figures(found.measured),
                "english": figures(found.base.english),
                "lower_cases": found.base.lower_cases,
                "unreachable": found.base.unreachable and asdict(found.base.unreachable),
            }
            for found in findings
        ],
    }
