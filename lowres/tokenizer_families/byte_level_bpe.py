"""BPE whose alphabet is bytes, as in RoBERTa and GPT-2, or that falls back on them, as in Gemma.

Merges are tried in the order of their list. New ones stand behind all old ones, so that a word is
first cut as before and then joined further; each new piece is joined from two pieces, and the ones
in between are pieces with ids and rows too. They also join in words of other languages, so what
decides is the first pair of old pieces that a chain begins with: it has to be a rare one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from lowres.tokenizer_families import State, _merges
from lowres.tokenizer_families._dictionaries import Commonness, commonness, extended, model_alone

LABEL = "byte-level BPE"
SAFE_BELOW = -20.5
LONGEST = 32
"""Characters of the vocabulary's spelling in a learnt piece at most; bytes, if it is byte-level."""
CHARACTER_AT_LEAST = 2
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
RESERVED = re.compile(r"<[^<>]+>|\[[^\[\]]+\]")
"""Entries that no text falls into: specials, reserved ones, and bytes that are fallen back on."""


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
    state = insert(state, characters, ())
    alone, old = model_alone(state), state["model"]["vocab"]
    common = _commonness(state)
    ordered = sorted(words)
    encoded = alone.encode_batch([*ordered, *sorted(keep)], add_special_tokens=False)
    cut = [e.tokens for e in encoded]
    kept = {pair for word in cut[len(ordered) :] for pair in zip(word, word[1:], strict=False)}

    def allowed(pair: _merges.Pair) -> bool:
        left, right = pair
        piece = left + right
        if piece in old or len(piece) > LONGEST or BYTE.fullmatch(left) or BYTE.fullmatch(right):
            return False
        if left in old and right in old:
            return pair not in kept and common.of((old[left], old[right])) <= SAFE_BELOW
        return True

    pairs = _merges.learn(cut[: len(ordered)], [words[w] for w in ordered], size, allowed)
    return list(dict.fromkeys([*characters, *(left + right for left, right in pairs)]))


def segment(state: State, pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """The old ids of each piece's text, by the old model alone."""
    encoded = model_alone(state).encode_batch_fast(list(pieces), add_special_tokens=False)
    return [tuple(e.ids) for e in encoded]


def _commonness(state: State) -> Commonness:
    pieces = state["model"]["vocab"]
    return commonness(state, {piece: piece for piece in pieces if not RESERVED.fullmatch(piece)})


def safe(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> list[bool]:
    """Whether a piece's text is improbable in other languages, see `SAFE_BELOW`."""
    common = _commonness(state)
    return [common.of(ids) <= SAFE_BELOW for ids in old]


def reachable(state: State, pieces: Sequence[str], spare: Sequence[str]) -> list[str]:
    """The pieces, each behind those of both lists that it is joined from."""
    everything = [*pieces, *spare]
    names = {i: piece for piece, i in state["model"]["vocab"].items()}
    cut = dict(zip(everything, segment(state, everything), strict=True))
    taken: dict[str, None] = {}

    def parts(piece: str) -> list[str] | None:
        """What is still lacking for the piece, itself at the end; none if it cannot be joined."""
        if piece in taken:
            return []
        tokens = [names[i] for i in cut[piece]]
        if len(tokens) == 1:  # a character that fell back on bytes, or an old piece
            return [piece]
        best: list[str] | None = None
        for at in range(1, len(tokens)):
            halves = ["".join(tokens[:at]), "".join(tokens[at:])]
            new = [half for half, n in zip(halves, (at, len(tokens) - at), strict=True) if n > 1]
            if not all(half in cut for half in new):
                continue
            lacking = [parts(half) for half in new]
            if any(part is None for part in lacking):
                continue
            flat = [p for part in lacking if part for p in part]
            if best is None or len(flat) < len(best):
                best = flat
        return None if best is None else [*best, piece]

    for piece in pieces:
        taken.update(dict.fromkeys(parts(piece) or [piece]))
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
