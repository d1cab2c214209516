"""The most frequent tag of every word form in the source training data.

Back-off for a form never seen: its lower case; the longest ending, of five letters down to none,
that known forms of its shape (capital, small or caseless letter, digit, sign) share; the most
frequent tag of all words. Endings apart by shape as in TnT (Brants 2000,
https://aclanthology.org/A00-1031); chosen on English-EWT dev.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lowres.baselines import BaselineContext
from lowres.tasks import Prediction

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEM = "lookup"
LONGEST_ENDING = 5

Key = tuple[str, str]


class Lexicon:
    """Forms, and endings of forms, with their most frequent tag and its share."""

    def __init__(self, train: Dataset) -> None:
        words: Counter[str] = Counter()
        forms: dict[str, Counter[str]] = defaultdict(Counter)
        for tokens, tags in zip(train["tokens"][:], train["tags"][:], strict=True):
            words.update(tags)
            for token, tag in zip(tokens, tags, strict=True):
                forms[token][tag] += 1
        counts: dict[Key, Counter[str]] = defaultdict(Counter)
        for form, tags in forms.items():
            exact, lower, *endings = _keys(form)
            counts[exact].update(tags)
            counts[lower].update(tags)
            # Every form counts once here: unknown words are like rare words, and running text
            # would teach that what ends in `-e` is `the`.
            for ending in endings:
                counts[ending][_most_frequent(tags)[0]] += 1
        self._best = {key: _most_frequent(found) for key, found in counts.items()}
        self._any = _most_frequent(words)
        self._known: dict[str, tuple[str, float]] = {}

    def tag(self, token: str) -> tuple[str, float]:
        """The tag of one word and its share among the words that it was looked up with."""
        if token not in self._known:
            found = (self._best[key] for key in _keys(token) if key in self._best)
            self._known[token] = next(found, self._any)
        return self._known[token]

    def predict(self, test: Dataset) -> list[Prediction]:
        """One tag a word, in order."""
        return [self._sentence(tokens) for tokens in test["tokens"][:]]

    def _sentence(self, tokens: Sequence[str]) -> Prediction:
        found = [self.tag(token) for token in tokens]
        return Prediction([tag for tag, _ in found], [share for _, share in found])


def _keys(token: str) -> Iterator[Key]:
    """Where a word is looked up, most telling first."""
    lower = token.lower()
    yield "form", token
    yield "lower", lower
    for size in range(min(LONGEST_ENDING, len(lower)), -1, -1):
        yield _shape(token), lower[len(lower) - size :]


def _shape(token: str) -> str:
    first = token[:1]
    if first.isalpha():
        return "capital" if first.isupper() else "letter"
    return "digit" if first.isdigit() else "sign"


def _most_frequent(counts: Counter[str]) -> tuple[str, float]:
    tag = min(counts, key=lambda name: (-counts[name], name))
    return tag, counts[tag] / counts.total()


def predict(context: BaselineContext) -> dict[str, list[Prediction]]:
    """Trained once on all sources."""
    lexicon = Lexicon(context.data.train)
    return {language: lexicon.predict(test) for language, test in context.data.tests.items()}
