"""Tags carried over to a translation: by word alignment, a span to the words from its first to its
last aligned one (Ehrmann, Turchi and Steinberger 2011, aclanthology.org/R11-1017).

A span whose words do not stand together in the translation is lost, and so is one without any
aligned word: a guess would teach wrong borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import regex

from lowres.alignment import align
from lowres.words import form

WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’-][\p{L}\p{M}\p{N}]+)*|[^\s]")
LEAST: Final = 0.01
"""Weight of an alignment (both probabilities multiplied) below which two words are not each other's
translation."""
NEAR: Final = 1e-3
"""How much less a pair of words weighs for lying far apart: settles which of two equal words."""


@dataclass(frozen=True)
class Projected:
    """Tags of one translation; `lost` of its `spans` could not be carried over."""

    tags: tuple[str, ...]
    spans: int
    lost: int


def split(text: str) -> list[str]:
    """Words and punctuation marks of a text in a script that sets spaces."""
    return [str(found) for found in WORD.findall(text)]


class Aligner:
    """Words of a text and of its translation, aligned by IBM model 1 over all the given pairs."""

    def __init__(self, pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        """`pairs`: (words of the text, words of its translation)."""
        self._text: dict[str, int] = {}
        self._translation: dict[str, int] = {}
        found = align(
            [
                (_numbers(self._translation, theirs), _numbers(self._text, ours))
                for ours, theirs in pairs
            ]
        )
        self._weight = {
            (int(t), int(s)): float(w)
            for t, s, w in zip(found.target, found.pivot, found.weight, strict=True)
            if w >= LEAST
        }

    def links(self, text: Sequence[str], translation: Sequence[str]) -> list[int | None]:
        """For each word of the translation the index of the word that it is of, or None.

        Words of the same form are each other's: names and numbers often stay.
        """
        rows, columns = _numbers(self._text, text), _numbers(self._translation, translation)
        forms = [form(word) or word for word in text]
        found: list[int | None] = []
        for at, word in enumerate(translation):
            own, best = form(word) or word, (0.0, -1)
            for index, row in enumerate(rows):
                same = own == forms[index]
                weight = 1.0 if same else self._weight.get((int(columns[at]), int(row)), 0.0)
                apart = abs(at / len(translation) - index / len(text))
                if weight > 0:
                    best = max(best, (weight - NEAR * apart, index))
            found.append(best[1] if best[1] >= 0 else None)
        return found


def _numbers(known: dict[str, int], words: Sequence[str]) -> np.ndarray:
    """Words as numbers; new ones get the next."""
    # signs alone have no form, and stand for themselves
    return np.array([known.setdefault(form(w) or w, len(known)) for w in words], dtype=np.int64)


def project(tags: Sequence[str], links: Sequence[int | None]) -> Projected:
    """The tags of a sentence on its translation.

    Args:
        tags: BIO, of the sentence.
        links: of each word of the translation, as `Aligner.links` gives them.
    """
    # it imports evaluate, which only tagging needs
    from lowres.metrics.span_f1 import spans

    made, lost = ["O"] * len(links), 0
    all_spans = spans(tags)
    for kind, first, after in sorted(all_spans, key=lambda span: span[1]):
        own = [at for at, link in enumerate(links) if link is not None and first <= link < after]
        inside = links[own[0] : own[-1] + 1] if own else []
        # words of nothing (articles, particles) may stand inside, those of other words may not
        split_up = any(link is not None and not first <= link < after for link in inside)
        if not own or split_up:
            lost += 1
            continue
        made[own[0]] = f"B-{kind}"
        for at in range(own[0] + 1, own[-1] + 1):
            made[at] = f"I-{kind}"
    return Projected(tuple(made), len(all_spans), lost)
