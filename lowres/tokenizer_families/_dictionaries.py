"""What WordPiece and BPE share: a dictionary of ids, without probabilities of its own."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from lowres.tokenizer_families import State, next_id

LETTERS = frozenset({"Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Mn", "Cs"})
SHIFT = 10
"""Mandelbrot's shift: the first few pieces are less common than Zipf's law says."""


def model_alone(state: State) -> Tokenizer:
    """The model alone: a string goes in as one word, spelled as pieces are."""
    model = dict(state["model"])
    if "dropout" in model:
        model["dropout"] = None
    bare: dict[str, object] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    return Tokenizer.from_str(json.dumps(bare, ensure_ascii=False))


def extended(state: State, pieces: Sequence[str]) -> dict[str, int]:
    """The vocabulary with the pieces behind all ids.

    Added tokens get the entries that they lack, under the ids they have: tokenizers numbers an
    added token that its model does not know by the size of the vocabulary, which would now be the
    id of a new piece.
    """
    vocabulary = dict(state["model"]["vocab"])
    for token in state.get("added_tokens") or ():
        vocabulary.setdefault(token["content"], token["id"])
    first = next_id(state)
    vocabulary.update((piece, first + index) for index, piece in enumerate(pieces))
    return vocabulary


@dataclass(frozen=True)
class Commonness:
    """How common pieces are, by their place in the vocabulary: logarithms of probabilities."""

    by_id: Mapping[int, float]
    rarest: float

    def of(self, ids: Sequence[int]) -> float:
        """Of a text that falls into these pieces, were they independent."""
        return sum(self.by_id.get(i, self.rarest) for i in ids)


def commonness(state: State, spelled: Mapping[str, str]) -> Commonness:
    """Zipf's law over the order of the ids: trainers and their tools list common pieces first.

    Characters stand outside that order, in front or behind, whatever their number in the text: one
    is as common as the first longer piece that holds it, and as rare as the last one if none does.

    Args:
        state: of the tokenizer.
        spelled: the text of each piece that has one, marks aside; specials and bytes left out.
    """
    vocabulary = state["model"]["vocab"]
    size = max(3, len(vocabulary))
    longer = sorted((p for p, text in spelled.items() if len(text) > 1), key=vocabulary.__getitem__)
    ranks = {piece: rank for rank, piece in enumerate(longer)}
    holds: dict[str, int] = {}
    for piece, rank in ranks.items():
        for character in spelled[piece]:
            holds.setdefault(character, rank)

    def logarithm(rank: int) -> float:
        return -math.log(rank + SHIFT) - math.log(math.log(size))

    return Commonness(
        {
            vocabulary[piece]: logarithm(ranks.get(piece, holds.get(text, size)))
            for piece, text in spelled.items()
        },
        logarithm(size),
    )


def is_of_every_language(text: str) -> bool:
    """Whether a text is numbers, or signs without a letter: no language owns those.

    Bytes that are no whole character, given as surrogates, count as letters.
    """
    if any(character.isascii() and character.isdigit() for character in text):
        return True
    return not any(unicodedata.category(character) in LETTERS for character in text)
