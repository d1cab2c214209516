"""BPE over bytes: spelled in their alphabet (RoBERTa, GPT-2), or fallen back on (Gemma, Llama).

Merges are tried in the order of their list. New ones stand behind all old ones, so that a word is
first cut as before and then joined further. Each new piece is joined from two, and those in between
are pieces with ids and rows too. They also join in the words of other languages, and what decides
how often is the first pair of a chain, which is of old pieces: it has to be a rare one.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from lowres.tokenizer_families import State, _merges
from lowres.tokenizer_families._dictionaries import (
    commonness,
    extended,
    is_of_every_language,
    model_alone,
)

LABEL = "byte-level BPE"
SAFE_BELOW = -19.0
"""A pair of old pieces less probable than e^-19, by Zipf's law and as if independent, is hardly
ever found in the words of other languages (docs/results.md)."""
LONGEST = 32
"""Characters of the spelling in a learnt piece at most: bytes, where the alphabet is theirs."""
CHARACTER_AT_LEAST = 2
FALLBACK = re.compile(r"<0x[0-9A-F]{2}>")
RESERVED = re.compile(r"<[^<>]+>|\[[^\[\]]+\]")
"""Entries that words do not fall into: specials, reserved ones, bytes that are fallen back on."""

_PRINTED = (*range(33, 127), *range(161, 173), *range(174, 256))
BYTES = {chr(byte): byte for byte in _PRINTED} | {
    chr(256 + index): byte for index, byte in enumerate(sorted({*range(256)} - {*_PRINTED}))
}
"""GPT-2's alphabet: a visible character for every byte."""


def matches(state: State) -> bool:
    """Whether it is BPE over all bytes: by their alphabet, or for unknown characters only."""
    model = state["model"]
    if model.get("type") != "BPE":
        return False
    if model.get("end_of_word_suffix") or model.get("continuing_subword_prefix"):
        return False
    return bool(model.get("byte_fallback")) or _is_byte_level(state)


def _is_byte_level(state: State) -> bool:
    def holds(step: object) -> bool:
        if isinstance(step, dict):
            return step.get("type") == "ByteLevel" or any(holds(s) for s in step.values())
        return isinstance(step, list) and any(holds(s) for s in step)

    return holds(state.get("pre_tokenizer")) or holds(state.get("normalizer"))


def unknown_id(state: State) -> int | None:
    """The id of the unknown piece, which no text falls into."""
    found = state["model"]["vocab"].get(state["model"].get("unk_token"))
    return None if found is None else int(found)


def unknown_characters(state: State, words: Mapping[str, int]) -> list[str]:
    """Characters that fall back on bytes, the frequent first."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    old = state["model"]["vocab"]
    return [c for c, n in counts.most_common() if n >= CHARACTER_AT_LEAST and c not in old]


def candidates(
    state: State, words: Mapping[str, int], keep: Mapping[str, int], size: int
) -> list[str]:
    """Pieces joined from what the words fall into today, each behind the two that it is made of.

    Not begun with a pair that stands in `keep`, or that is common as far as the old model can tell.
    """
    characters = unknown_characters(state, words)
    state = insert(state, characters, [()] * len(characters))
    alone, old, is_rare = model_alone(state), state["model"]["vocab"], _rare(state)
    is_byte_level = _is_byte_level(state)
    ordered = sorted(words)
    encoded = alone.encode_batch([*ordered, *sorted(keep)], add_special_tokens=False)
    cut = [e.tokens for e in encoded]
    kept = {pair for word in cut[len(ordered) :] for pair in itertools.pairwise(word)}

    def allowed(pair: _merges.Pair) -> bool:
        left, right = pair
        piece = left + right
        if piece in old or len(piece) > LONGEST or not _is_sound(piece, is_byte_level):
            return False
        if left in old and right in old:
            return pair not in kept and is_rare(pair)
        return True

    pairs = _merges.learn(cut[: len(ordered)], [words[w] for w in ordered], size, allowed)
    return list(dict.fromkeys([*characters, *(left + right for left, right in pairs)]))


def _is_sound(piece: str, is_byte_level: bool) -> bool:
    """Whether a piece may be new: no bytes of fallback, nothing that every language has.

    Nor the end of a character without its beginning: those bytes end characters of other scripts.
    """
    if not is_byte_level:
        return not (FALLBACK.search(piece) or is_of_every_language(piece.replace("▁", " ")))
    spelled = bytes(BYTES[character] for character in piece)
    if spelled[0] & 0xC0 == 0x80:
        return False
    return not is_of_every_language(spelled.decode("utf-8", "surrogateescape"))


def segment(state: State, pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """The old ids of each piece's text, by the old model alone."""
    encoded = model_alone(state).encode_batch_fast(list(pieces), add_special_tokens=False)
    return [tuple(e.ids) for e in encoded]


def _rare(state: State) -> Callable[[Sequence[str]], bool]:
    """Whether old pieces that stand side by side are rare in other languages.

    Bytes that begin a character are rare if no longer piece holds them side by side: then the old
    model has not seen their script, whatever the bytes do elsewhere.
    """
    pieces = state["model"]["vocab"]
    words = [piece for piece in pieces if not RESERVED.fullmatch(piece)]
    common = commonness(state, {piece: piece for piece in words})
    seen = {
        piece[at : at + length]
        for piece in words
        if not piece.isascii()
        for length in (2, 3)
        for at in range(len(piece) - length + 1)
    }

    def is_rare(side_by_side: Sequence[str]) -> bool:
        if common.of([pieces[piece] for piece in side_by_side]) <= SAFE_BELOW:
            return True
        return any(
            len(left + right) <= 3 and not (left + right).isascii() and left + right not in seen
            for left, right in itertools.pairwise(side_by_side)
            if BYTES.get(left[0], 0) >= 0xC0
        )

    return is_rare


def reduced(state: State, words: Iterable[str]) -> State:
    """The state itself."""
    return state


def safe(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> list[bool]:
    """Whether a piece's text is rare in other languages, see `SAFE_BELOW`."""
    names = {i: piece for piece, i in state["model"]["vocab"].items()}
    is_rare, is_byte_level = _rare(state), _is_byte_level(state)
    return [
        _is_sound(piece, is_byte_level) and is_rare([names[i] for i in ids])
        for piece, ids in zip(pieces, old, strict=True)
    ]


def reachable(state: State, pieces: Sequence[str], spare: Sequence[str]) -> list[str]:
    """The pieces, each behind those of both lists that it is joined from, as few as can be."""
    everything, old = [*pieces, *spare], state["model"]["vocab"]
    characters = [piece for piece in everything if len(piece) == 1]
    state = insert(state, characters, [()] * len(characters))
    names = {i: piece for piece, i in state["model"]["vocab"].items()}
    cut = {
        piece: [names[i] for i in ids]
        for piece, ids in zip(everything, segment(state, everything), strict=True)
    }
    taken: dict[str, None] = {}

    found: dict[str, list[str] | None] = {}  # as long as nothing is taken

    def lacking(tokens: Sequence[str]) -> list[str] | None:
        """What has to be there for these to be one piece, itself at the end; None if it cannot."""
        piece = "".join(tokens)
        if piece in taken or (len(tokens) == 1 and piece in old):
            return []
        if piece not in found:
            ways: list[list[str]] = [[]] if len(tokens) == 1 else []
            for at in range(1, len(tokens) if piece in cut else 0):
                left, right = lacking(tokens[:at]), lacking(tokens[at:])
                if left is not None and right is not None:
                    ways.append([*left, *right])
            found[piece] = [*min(ways, key=len), piece] if ways else None
        return found[piece]

    for piece in pieces:
        taken.update(dict.fromkeys(lacking(cut[piece]) or [piece]))
        found.clear()
    return list(taken)


def insert(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> State:
    """The pieces behind all ids, and behind all merges each way to join one from two pieces."""
    model = state["model"]
    vocabulary = extended(state, pieces)
    new = [
        (piece[:at], piece[at:])
        for piece in pieces
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    merges = [" ".join(pair) for pair in new] if as_text else [list(pair) for pair in new]
    return {
        **state,
        "model": {**model, "vocab": vocabulary, "merges": [*model["merges"], *merges]},
    }
