"""WordPiece, as in BERT, mBERT and MiniLM: the longest piece that a word begins with, and again.

Inside a word pieces carry a mark in front (`##`). They have no probabilities, so a new piece wins
wherever it is the longest that fits: whole words and beginnings of several letters change other
languages least.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lowres.tokenizer_families import State, _merges
from lowres.tokenizer_families._dictionaries import (
    commonness,
    extended,
    is_of_every_language,
    model_alone,
)

LABEL = "WordPiece"
SAFE_BELOW = -24.0
"""As for Unigram, with probabilities by Zipf's law: see `_dictionaries.commonness`."""
LONGEST = 16
"""Characters of a learnt piece at most."""
WORD_AT_LEAST = 3
PART_AT_LEAST = 8
CHARACTER_AT_LEAST = 2
START = "\0"
"""Stands before the first character of a word while pairs are joined; no text holds it."""
RESERVED = re.compile(r"\[unused\d+\]|\[[A-Z]+\]")
"""Entries that no text falls into; a thousand of them stand in front of BERT's pieces."""


def matches(state: State) -> bool:
    """Whether the tokenizer's model is WordPiece."""
    return bool(state["model"].get("type") == "WordPiece")


def _mark(state: State) -> str:
    return str(state["model"].get("continuing_subword_prefix") or "")


def unknown_id(state: State) -> int | None:
    """The id of the unknown piece."""
    found = state["model"]["vocab"].get(state["model"].get("unk_token"))
    return None if found is None else int(found)


def unknown_characters(state: State, words: Mapping[str, int]) -> list[str]:
    """Characters without a piece, the frequent first: in front of a word and inside one.

    Both at once, wherever the text has them: a word that holds one is lost whole.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    old, mark = state["model"]["vocab"], _mark(state)
    frequent = [c for c, n in counts.most_common() if n >= CHARACTER_AT_LEAST]
    return [piece for c in frequent for piece in dict.fromkeys((c, mark + c)) if piece not in old]


def _spelled(joined: str, mark: str) -> str:
    return joined.removeprefix(START) if joined.startswith(START) else mark + joined


def candidates(
    state: State, words: Mapping[str, int], keep: Mapping[str, int], size: int
) -> list[str]:
    """Pieces joined as WordPiece's trainer does, frequent words, beginnings and ends of words."""
    longest = int(state["model"].get("max_input_chars_per_word") or LONGEST)
    mark = _mark(state)
    words = {
        word: count
        for word, count in words.items()
        # a longer one is unknown as a whole; one that looks marked would be taken for a part
        if len(word) <= longest and not (mark and word.startswith(mark))
    }
    # not by tokenizers' trainer: it breaks ties at random, so that no two runs give the same
    ordered = sorted(words)
    cut = [[START + word[0], *word[1:]] for word in ordered]
    pairs = _merges.learn(
        cut, [words[w] for w in ordered], size, lambda p: len(p[0] + p[1]) <= LONGEST + 1
    )
    learnt = [_spelled(left + right, mark) for left, right in pairs]
    parts: Counter[str] = Counter()
    for word, count in words.items():
        for at in range(2, min(len(word), LONGEST + 1)):
            parts[word[:at]] += count
            parts[mark + word[-at:]] += count
    found = [
        *learnt,
        *(w for w, n in words.items() if n >= WORD_AT_LEAST and 1 < len(w) <= LONGEST),
        *(p for p, n in parts.items() if n >= PART_AT_LEAST),
    ]
    return list(dict.fromkeys(found))


def segment(state: State, pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """The old ids of each piece's text, by the old model alone, inside a word if it is marked."""
    mark, model = _mark(state), state["model"]
    inside = {piece: i for piece, i in model["vocab"].items() if piece.startswith(mark)}
    # what may stand inside a word is also let stand at its front
    fronts = {piece.removeprefix(mark): i for piece, i in inside.items()}
    unknown = {t: i for t, i in model["vocab"].items() if t == model.get("unk_token")}
    front = model_alone(state)
    back = model_alone({**state, "model": {**model, "vocab": {**fronts, **inside, **unknown}}})
    marked = [bool(mark) and piece.startswith(mark) for piece in pieces]
    texts = [
        piece.removeprefix(mark) if m else piece for piece, m in zip(pieces, marked, strict=True)
    ]
    encoded = {
        m: iter(
            t.encode_batch_fast(
                [text for text, is_marked in zip(texts, marked, strict=True) if is_marked is m],
                add_special_tokens=False,
            )
        )
        for m, t in ((False, front), (True, back))
    }
    return [tuple(next(encoded[m]).ids) for m in marked]


def reduced(state: State, words: Iterable[str]) -> State:
    """The state itself."""
    return state


def safe(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> list[bool]:
    """Whether a piece's text is improbable in other languages, see `SAFE_BELOW`."""
    mark, unknown = _mark(state), unknown_id(state)
    texts = {piece: piece.removeprefix(mark) or piece for piece in state["model"]["vocab"]}
    common = commonness(state, {p: t for p, t in texts.items() if not RESERVED.fullmatch(p)})
    return [
        unknown in ids or (common.of(ids) <= SAFE_BELOW and not is_of_every_language(piece))
        for piece, ids in zip(pieces, old, strict=True)
    ]


def reachable(state: State, pieces: Sequence[str], spare: Sequence[str]) -> list[str]:
    """The pieces as they are: none needs another."""
    return list(pieces)


def insert(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> State:
    """The pieces behind all ids; the longest match finds them."""
    return {**state, "model": {**state["model"], "vocab": extended(state, pieces)}}
