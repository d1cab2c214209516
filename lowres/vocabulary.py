"""Which pieces a tokenizer lacks: learnt on text, chosen by what they save, written into its model.

Pure functions on the state of a tokenizer (`tokenizer.json`, parsed) and lists of lines; files are
`extension.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from lowres import tokenizer_families
from lowres.errors import DataError
from lowres.tokenizer_families import State

Lines = Sequence[str]
GRID = (0, 125, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 8000)
"""Numbers of new pieces at which the fertility curve is measured, a language."""
KNEE_SHARE = 0.01
"""`auto` goes on while 1,000 more pieces a language still save this share of the old tokens."""
CURVE_EVERY = 10
"""Every tenth line is kept out of learning; the curve is measured on it."""
LINES_AT_ONCE = 10_000
"""Lines whose encodings exist at one time."""
JUDGED_FROM = 40
"""Fewer different lines of a kept text all take part in the choice: half of them say nothing."""


@dataclass(frozen=True)
class CurvePoint:
    """Tokens of the lines kept out of learning, after so many new pieces, over tokens before."""

    pieces: int
    tokens: float
    unknown: float
    """Unknown tokens over all tokens."""


@dataclass(frozen=True)
class Learned:
    """The pieces to add, best first, and how their number was found."""

    pieces: tuple[str, ...]
    curve: tuple[CurvePoint, ...]
    offered: int
    """Pieces that the text offers: candidates that save tokens and leave other languages alone."""
    left_out: int
    """Candidates that save tokens but would change the text of other languages."""


@dataclass(frozen=True)
class Kept:
    """Lines whose segmentation should stay, in two halves that share no line."""

    choosing: dict[str, list[str]]
    """By name of the text: a piece that is used in one of these is left out."""
    judging: dict[str, list[str]]
    """Lines that no choice has seen: how much of them changes is what may be reported."""


def halved(keep: Mapping[str, Lines]) -> Kept:
    """Part the lines of each text by their hash, the same line always to the same side.

    So an extension that was chosen yesterday, by this text or by one that shares lines with it, is
    judged today by lines that it has not seen. A text of fewer than `JUDGED_FROM` different lines
    is left whole to the choice, and nothing is known of it.
    """
    choosing, judging = {}, {}
    for name, lines in keep.items():
        parted: tuple[list[str], list[str]] = [], []
        for line in lines:
            parted[hashlib.sha256(line.encode()).digest()[0] % 2].append(line)
        small = len(set(lines)) < JUDGED_FROM
        choosing[name], judging[name] = (list(lines), []) if small else parted
    return Kept(choosing, judging)


def build(state: State) -> Tokenizer:
    """The tokenizer of a state."""
    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def learn(
    state: State,
    texts: Mapping[str, Lines],
    keep: Mapping[str, Lines],
    pieces: int | Literal["auto"],
    name: str,
) -> Learned:
    """Choose the pieces that shorten these texts most.

    Candidates are learnt a language by the family's own trainer, whole words and their beginnings
    beside them. One that fires in `keep`, or that the family finds too probable in other
    languages, is left out. What a candidate saves is counted where it is used, in shares of its
    language's tokens, so that a small text counts as much as a large one.

    Args:
        state: of the base's tokenizer.
        texts: lines by language.
        keep: lines of other languages, whose segmentation should stay: all of them choose, see
            `halved`.
        pieces: how many in all, or `auto`: the knee of the fertility curve.
        name: of the base, for errors.

    Raises:
        DataError: when the text offers fewer pieces than asked for, or none.
        BaseModelError: when the tokenizer is of a family that cannot be extended.
    """
    family = tokenizer_families.of(state, name)
    learning, measuring = _split(texts)
    base = build(state)
    words = {language: words_of(base, lines) for language, lines in learning.items()}
    kept = words_of(base, [line for lines in keep.values() for line in lines])
    measured = words_of(base, [line for lines in measuring.values() for line in lines])
    most = max(GRID) if pieces == "auto" else max(GRID[-1], 2 * pieces)
    candidates, characters = _candidates(state, base, family, words, kept, most)
    # a tokenizer of all pieces takes a second to build, and twenty are tried
    small = family.reduced(
        state, {word for some in (*words.values(), kept, measured) for word in some}
    )
    choice = _Choice(small, family, base, learning, candidates, characters)
    allowed, left_out = choice.allowed(keep)
    wanted = len(texts) * GRID[-1] if pieces == "auto" else pieces + pieces // 10
    ranked = choice.ranked(choice.ranked(allowed, 3 * wanted), wanted)
    if not ranked:
        raise DataError(
            f"text.files: offers no piece that {name} lacks: its tokenizer cannot be made to "
            f"shorten this text ({left_out} candidates would change other languages); leave "
            "tokenizer.extend out"
        )
    if pieces != "auto" and len(ranked) < pieces:
        raise DataError(
            f"tokenizer.extend.pieces {pieces}: the text offers {len(ranked)} that save tokens and "
            f"leave other languages alone ({left_out} would change them); ask for "
            f"{len(ranked)} or fewer, write auto, or give more text"
        )
    curve = choice.curve(ranked, measuring, len(texts))
    number = _knee(curve, len(texts)) if pieces == "auto" else pieces
    chosen = choice.quiet(ranked[: number + number // 2], number, keep)
    return Learned(tuple(chosen), tuple(curve), len(ranked), left_out)


def _split(texts: Mapping[str, Lines]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    learning, measuring = {}, {}
    for language, lines in texts.items():
        every = CURVE_EVERY if len(lines) >= 10 * CURVE_EVERY else len(lines) + 1
        measuring[language] = [line for i, line in enumerate(lines) if i % every == every - 1]
        learning[language] = [line for i, line in enumerate(lines) if i % every != every - 1]
        measuring[language] = measuring[language] or learning[language]
    return learning, measuring


def words_of(base: Tokenizer, lines: Lines) -> Counter[str]:
    """Pre-tokenised words and how often each stands in the lines."""
    words: Counter[str] = Counter()
    for line in lines:
        normal = base.normalizer.normalize_str(line) if base.normalizer else line
        split = base.pre_tokenizer.pre_tokenize_str(normal) if base.pre_tokenizer else [(normal,)]
        words.update(word for word, *_ in split)
    return words


def _candidates(
    state: State,
    base: Tokenizer,
    family: object,
    learning: Mapping[str, Counter[str]],
    kept: Counter[str],
    size: int,
) -> tuple[list[str], frozenset[str]]:
    """Distinct strings that are no pieces yet, in a fixed order; which are unknown characters."""
    old = base.get_vocab(with_added_tokens=True)
    found: dict[str, None] = {}
    characters: set[str] = set()
    for words in learning.values():
        unknown = family.unknown_characters(state, words)  # type: ignore[attr-defined]
        learnt = family.candidates(state, words, kept, size)  # type: ignore[attr-defined]
        characters.update(unknown)
        for piece in (*unknown, *learnt):
            if piece not in old and not piece.isspace():
                found.setdefault(piece)
    return list(found), frozenset(characters)


class _Choice:
    """Candidates, ranked by what they save on the learning text."""

    def __init__(
        self,
        state: State,
        family: object,
        base: Tokenizer,
        learning: Mapping[str, Lines],
        candidates: Sequence[str],
        characters: frozenset[str],
    ) -> None:
        self._state = state
        self._family = family
        self._learning = learning
        self._first = tokenizer_families.next_id(state)
        self._totals = {
            language: max(1, sum(len(e) for e in encoded(base, lines)))
            for language, lines in learning.items()
        }
        unknown = family.unknown_id(state)  # type: ignore[attr-defined]
        segments = family.segment(state, candidates)  # type: ignore[attr-defined]
        self._old = dict(zip(candidates, segments, strict=True))
        self._unknown = {piece for piece, ids in self._old.items() if unknown in ids}
        # without these any word that holds one is lost whole
        self._characters = characters | {p for p in self._unknown if len(p) == 1}
        self._saves = {
            # an unknown piece stands for a whole word: what is won is its characters
            piece: len(piece) if piece in self._unknown else len(ids) - 1
            for piece, ids in self._old.items()
        }

    def allowed(self, keep: Mapping[str, Lines]) -> tuple[list[str], int]:
        """Candidates that leave other languages alone, and how many that save do not."""
        pieces = list(self._saves)
        old = [self._old[piece] for piece in pieces]
        safe = self._family.safe(self._state, pieces, old)  # type: ignore[attr-defined]
        fine = [p for p, is_safe in zip(pieces, safe, strict=True) if is_safe or p in self._unknown]
        while fires := self._firing(fine, keep):
            fine = [piece for piece in fine if piece not in fires]
        return fine, len(pieces) - len(fine)

    def quiet(self, pieces: Sequence[str], number: int, keep: Mapping[str, Lines]) -> list[str]:
        """`ranked`, where what the others had kept from firing in `keep` makes room."""
        while fires := self._firing(chosen := self.ranked(pieces, number), keep):
            pieces = [piece for piece in pieces if piece not in fires]
        return chosen

    def _firing(self, pieces: Sequence[str], keep: Mapping[str, Lines]) -> frozenset[str]:
        """Those that are used in `keep`; what was unknown there was no segmentation to keep."""
        used = self._used(pieces, {"": [line for lines in keep.values() for line in lines]})
        known = ((piece, share) for piece, share in used.items() if piece not in self._unknown)
        return frozenset(piece for piece, share in known if share)

    def _with(self, pieces: Sequence[str]) -> Tokenizer:
        old = [self._old[piece] for piece in pieces]
        return build(self._family.insert(self._state, pieces, old))  # type: ignore[attr-defined]

    def _used(self, pieces: Sequence[str], texts: Mapping[str, Lines]) -> dict[str, float]:
        """How often each piece is used, in shares of each text's tokens before."""
        tokenizer = self._with(pieces)
        used = np.zeros(len(pieces))
        for language, lines in texts.items():
            total = self._totals.get(language, 1)
            for ids in encoded(tokenizer, lines):
                new = ids[ids >= self._first] - self._first
                np.add.at(used, new, 1 / total)
        return dict(zip(pieces, used.tolist(), strict=True))

    def ranked(self, pieces: Sequence[str], number: int) -> list[str]:
        """The `number` pieces that save most where all of these compete; unused ones drop out.

        Unknown characters come first: without them any word that holds one is lost whole.
        """
        used = self._used(pieces, self._learning)
        saved = {p: n * self._saves[p] for p, n in used.items()}
        first = self._characters
        useful = [p for p, gain in saved.items() if gain > 0 or p in first]
        useful.sort(key=lambda p: (p not in first, -saved[p], p))
        # what a piece is joined from comes before it, even where no text is left to use it
        closed = self._family.reachable(self._state, useful[:number], pieces)  # type: ignore[attr-defined]
        return list(closed)[:number]

    def curve(
        self, ranked: Sequence[str], measuring: Mapping[str, Lines], languages: int
    ) -> list[CurvePoint]:
        """Tokens after the first n pieces over tokens before, mean of the languages."""
        numbers = sorted({min(n * languages, len(ranked)) for n in GRID})
        before: dict[str, int] = {}
        points = []
        for number in numbers:
            tokenizer = self._with(ranked[:number])
            unknown_id = self._family.unknown_id(self._state)  # type: ignore[attr-defined]
            shares, unknown, total = [], 0, 0
            for language, lines in measuring.items():
                ids = np.concatenate([*encoded(tokenizer, lines), np.zeros(0, dtype=np.int64)])
                before.setdefault(language, max(1, len(ids)))
                shares.append(len(ids) / before[language])
                unknown += int((ids == unknown_id).sum())
                total += len(ids)
            points.append(CurvePoint(number, float(np.mean(shares)), unknown / max(1, total)))
        return points


def encoded(tokenizer: Any, lines: Lines) -> list[np.ndarray]:
    """Ids of each line, no special ones; `LINES_AT_ONCE` encodings exist at a time, as one takes
    some hundred bytes a piece."""
    found: list[np.ndarray] = []
    for at in range(0, len(lines), LINES_AT_ONCE):
        some = list(lines[at : at + LINES_AT_ONCE])
        batch = tokenizer.encode_batch_fast(some, add_special_tokens=False)
        found += [np.asarray(each.ids, dtype=np.int64) for each in batch]
    return found


def _knee(curve: Sequence[CurvePoint], languages: int) -> int:
    """The last number of pieces that still paid: see `KNEE_SHARE`.

    While words are unknown as a whole more pieces make more tokens; a step that takes away unknown
    tokens always pays.
    """
    knee = curve[0].pieces
    for before, after in pairwise(curve):
        thousands = (after.pieces - before.pieces) / 1000 / languages
        pays = (before.tokens - after.tokens) / thousands >= KNEE_SHARE
        if pays or before.unknown - after.unknown >= 0.001:
            knee = after.pieces
    return knee


def changed_share(before: Tokenizer, after: Tokenizer, lines: Lines) -> float:
    """Share of lines whose ids differ."""
    if not lines:
        return 0.0
    old, new = encoded(before, lines), encoded(after, lines)
    return sum(not np.array_equal(a, b) for a, b in zip(old, new, strict=True)) / len(lines)


def round_trips(tokenizer: Tokenizer, lines: Lines) -> float:
    """Share of lines that decode(encode(line)) gives back, spaces at the ends aside."""
    ids = [e.ids for e in tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)]
    decoded = tokenizer.decode_batch(ids)
    same = sum(a.strip() == b.strip() for a, b in zip(lines, decoded, strict=True))
    return same / max(1, len(lines))
