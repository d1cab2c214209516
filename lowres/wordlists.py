"""What two texts have in common: whole words, and the letters that words are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lowres.words import form

LETTERS: Final = (2, 3, 4)
"""Lengths of the runs of letters that are counted, a word's beginning and end as letters of it."""
LONGEST_WORD: Final = 40
"""Characters; longer ones are links, or text without spaces, which is cut into such lengths."""


@dataclass(frozen=True)
class Profile:
    """How often words and runs of letters are in a text."""

    words: Mapping[str, int]
    runs: Mapping[str, int]


@dataclass(frozen=True)
class Shared:
    """What a target's text has in common with a source's; each from 0 to 1."""

    words: float
    """Share of the target's running words that are words of the source too; numbers left out."""
    letters: float
    """Cosine of the two counts of runs of letters, their logarithms taken."""


def profile(lines: Iterable[str]) -> Profile:
    """Count a text; words in the form of `words.form`, those without letters left out."""
    words: Counter[str] = Counter()
    for line in lines:
        for word in map(form, line.split()):
            if any(character.isalpha() for character in word):
                words.update(_cut(word))
    runs: Counter[str] = Counter()
    for word, count in words.items():
        whole = f" {word} "
        for size in LETTERS:
            for start in range(len(whole) - size + 1):
                runs[whole[start : start + size]] += count
    return Profile(words, runs)


def shared(target: Profile, source: Profile) -> Shared:
    """What the target has in common with the source; 0 where either is empty."""
    total = sum(target.words.values())
    known = sum(count for word, count in target.words.items() if word in source.words)
    return Shared(known / max(1, total), _cosine(target.runs, source.runs))


def _cut(word: str) -> list[str]:
    return [word[at : at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD)]


def _cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    first = {run: math.log1p(count) for run, count in a.items()}
    second = {run: math.log1p(count) for run, count in b.items()}
    lengths = math.sqrt(sum(v * v for v in first.values()) * sum(v * v for v in second.values()))
    if lengths == 0:
        return 0.0
    return sum(value * second[run] for run, value in first.items() if run in second) / lengths
