"""What words of the source are in a target: by its word list, and by lines aligned with theirs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from lowres import corpus
from lowres.alignment import align
from lowres.augmentations import Lexicon
from lowres.material import LanguageText
from lowres.words import parted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST: Final = 3
"""Translations of a word that are kept."""
LEAST: Final = 0.1
"""Share of a word's alignments that a translation needs."""
LISTED: Final = 0.5
"""Share of the word list where a word has both its entries and aligned words."""


def lexicon(text: LanguageText, tokenizer: PreTrainedTokenizerBase) -> Lexicon:
    """The translations of one language's text, read from the source's side.

    Args:
        text: of a language; its held-out lines are not looked at.
        tokenizer: fast; its pieces are the words of a language that sets no spaces.
    """
    spaced = text.language.split("_")[1] not in corpus.SPACELESS
    parts = _words if spaced else partial(_pieces, tokenizer)
    aligned = _aligned(text.learning_pairs, parts)
    listed: defaultdict[str, list[str]] = defaultdict(list)
    for word, translation in text.lexicon:
        listed[translation.strip().casefold()].append(word.strip())
    entries = {}
    for word in sorted({*aligned, *listed}):
        own = [(each, 1 / len(listed[word])) for each in listed.get(word, ())]
        found = aligned.get(word, [])
        if own and found:
            own = [(each, LISTED * share) for each, share in own]
            found = [(each, (1 - LISTED) * share) for each, share in found]
        entries[word] = tuple(sorted([*own, *found], key=lambda pair: (-pair[1], pair[0])))
    return Lexicon(text.language, entries, spaced)


def _aligned(
    pairs: Sequence[tuple[str, str]], parts: Callable[[str], list[str]]
) -> dict[str, list[tuple[str, float]]]:
    """Words of the translations with what they are aligned with, by IBM model 1 both ways."""
    names: dict[str, int] = {}
    pivots: dict[str, int] = {}
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    lines = []
    for line, translation in pairs:
        words = parts(line)
        for word in words:
            written[word.casefold()][word] += 1
        lines.append(
            (
                np.array([names.setdefault(w.casefold(), len(names)) for w in words], np.int64),
                np.array(
                    [pivots.setdefault(w.casefold(), len(pivots)) for w in _words(translation)],
                    np.int64,
                ),
            )
        )
    found = align(lines)
    word_of, pivot_of = list(names), list(pivots)
    total = np.bincount(found.pivot, weights=found.weight, minlength=len(pivots))
    entries: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    order = np.lexsort((found.target, -found.weight, found.pivot))
    for at in order:
        pivot, weight = int(found.pivot[at]), float(found.weight[at])
        best = entries[pivot_of[pivot]]
        if weight < LEAST * total[pivot] or len(best) == MOST or not weight:
            continue
        # as it stands most often, which inside sentences is without a capital
        word = written[word_of[int(found.target[at])]].most_common(1)[0][0]
        best.append((word, weight))
    return {
        word: [(each, weight / sum(w for _, w in best)) for each, weight in best]
        for word, best in entries.items()
        if best
    }


def _pieces(tokenizer: PreTrainedTokenizerBase, line: str) -> list[str]:
    """A line as it is parted, in its own letters."""
    spans = tokenizer(line, add_special_tokens=False, return_offsets_mapping=True)
    # bytes of one letter have the span of it, all of them
    found = dict.fromkeys(tuple(span) for span in spans["offset_mapping"])
    return [piece for start, end in found if (piece := parted(line[start:end])[1])]


def _words(line: str) -> list[str]:
    """What stands between spaces, without the punctuation at its ends."""
    return [core for _, core, _ in map(parted, line.split()) if core]
