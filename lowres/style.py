"""Whether two sets of texts are written alike, whatever languages they are in.

The proxy A-distance (Ben-David et al. 2006, Analysis of Representations for Domain Adaptation) of a
classifier that tells the two sets apart: 0 where it cannot, 2 where it always can. What it may
look at decides what is measured. Words, or an encoder's features, tell languages apart: two
translations of the same texts are at 2 there (`benchmarks/domain.py`). So it sees punctuation,
digits, capitals, lengths, links and emoji alone, by Unicode's properties, which are the same for
all scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from lowres import evenly

Floats = npt.NDArray[np.float64]
Each = TypeVar("Each")

FEWEST: Final = 20
"""Texts on each side: of fewer nothing is said."""
MOST: Final = 300
"""Texts of each side that are looked at, spread over the set."""
FOLDS: Final = 5
RESAMPLES: Final = 300
LONGEST: Final = 2000
"""Characters of a text that are looked at."""
CASED: Final = 0.02
"""Share of capitals among letters from which on a set is taken to have them at all."""

UNPHRASED: Final = frozenset(("Khmr", "Laoo", "Mymr", "Thai", "Tibt", "Lana", "Tale", "Talu"))
"""Scripts with other means than signs to part phrases or sentences."""

# Unicode has the Burmese comma among the ends of sentences
_STOP: Final = r"[\p{STerm}--[\u104A]]"
_PATTERNS: Final = {
    "sentence ends": _STOP,
    "commas and colons": r"[[\p{Terminal_Punctuation}--\p{STerm}][\u104A]]",
    "exclamation marks": r"[!՜߹]",
    "question marks": r"[?؟;՞፧]",
    "ellipses": r"…|\.{2,}",
    # an apostrophe is a letter in many spellings
    "quotation marks": r"[\p{Quotation_Mark}--['’‘]]",
    "brackets": r"\p{Ps}",
    # a hyphen inside a word is spelling too
    "dashes": r"(?<!\p{L})\p{Pd}|\p{Pd}(?!\p{L})",
    "digits": r"\p{Nd}+",
    "emoji": r"[\p{Extended_Pictographic}--\p{Nd}]",
    "mentions and hashtags": r"[@#]\w",
    "links": r"https?://|www\.",
    "letters drawn out": r"(\p{L})\1{2,}",
}
"""What is counted in a text; each is of a writer's habits, and of no one script. Line breaks are
not among them: a tokenizer reads a space there."""


_END: Final = rf"{_STOP}\W*$"
_PHRASES: Final = ("sentence ends", "commas and colons", "ends like a sentence")
_CASE: Final = ("capitals", "begins with a capital", "words in capitals")
_NAMES: Final = (*_PATTERNS, "length", "ends like a sentence", *_CASE)


@dataclass(frozen=True)
class Written:
    """How a set of texts is written: `rows` [texts, features], and what its script has."""

    rows: Floats
    cased: bool
    """Whether there are capitals, in each of its languages."""
    phrased: bool
    """Whether sentences and phrases are parted by signs, in each of its scripts."""


@dataclass(frozen=True)
class Distance:
    """Proxy A-distance of two sets of texts, 0 to 2, with its 95% interval. `n`: texts looked at.

    `apart`: what tells them apart most, the strongest first, by what the second set has more or
    less of ("more emoji").
    """

    value: float
    low: float
    high: float
    n: int
    apart: tuple[str, ...]


def read(texts: Sequence[str], languages: Sequence[str]) -> Written | None:
    """How a set of texts is written; None for less than `FEWEST` texts that are not empty.

    Counts as the log of one more; the length in letters as its log over the median of the texts in
    that language, so that a language's own wordiness is divided out, but not how lengths spread.

    Args:
        texts: `MOST` of them are looked at, spread evenly: files are often sorted by something.
        languages: the FLORES code of each. Where a script sets no spaces, signs between sentences
            and phrases do not compare (a space does the comma's work in Khmer); capitals compare
            where each of the languages has them.
    """
    both = zip(texts, languages, strict=True)
    filled = spread([(text[:LONGEST], code) for text, code in both if text.strip()])
    if len(filled) < FEWEST:
        return None
    rows = np.array([_row(text) for text, _ in filled], dtype=float)
    capital, letter, _ = _signs()
    length, cased = _NAMES.index("length"), True
    for code in dict.fromkeys(code for _, code in filled):
        its = np.array([language == code for _, language in filled])
        rows[its, length] -= np.median(rows[its, length])
        whole = "".join(text for text, language in filled if language == code)
        cased &= len(capital.findall(whole)) >= CASED * max(1, len(letter.findall(whole)))
    return Written(rows, cased, not any(code[-4:] in UNPHRASED for _, code in filled))


def spread(every: Sequence[Each]) -> Sequence[Each]:
    """`MOST` of them, evenly over the set, or all."""
    return [every[at] for at in evenly.places(len(every), MOST)]


def distance(first: Written, second: Written) -> Distance:
    """How far two sets of texts are from each other in how they are written.

    A logistic regression learns to tell them apart, and is tested on texts that it has not seen
    (5 folds); its balanced error e gives 2 (1 - 2e), never below 0. The interval is that of the
    bootstrap over the tested texts. The same texts give the same figure.
    """
    leave: tuple[str, ...] = () if first.cased and second.cased else _CASE
    leave += () if first.phrased and second.phrased else _PHRASES
    kept = [at for at, name in enumerate(_NAMES) if name not in leave]
    return _between(first.rows[:, kept], second.rows[:, kept], [_NAMES[at] for at in kept])


def of_vectors(first: Floats, second: Floats) -> Distance | None:
    """The same distance of two sets of an encoder's vectors [texts, features].

    It tells languages apart as well as domains, and does not say by what. None for less than
    `FEWEST` texts on a side.
    """
    if min(len(first), len(second)) < FEWEST:
        return None
    return _between(first, second)


def _between(first: Floats, second: Floats, names: Sequence[str] = ()) -> Distance:
    """Of rows of figures; with their names also those that tell the two sets apart."""
    values = np.concatenate([first, second])
    of_second = np.repeat([0, 1], [len(first), len(second)])
    right = (_told_apart(values, of_second) > 0) == (of_second == 1)
    apart = _apart(values, of_second, names) if names else ()
    return Distance(*_interval(right, of_second), len(right), apart)


def _row(text: str) -> list[float]:
    capital, letter, end = _signs()
    size, capitals = len(letter.findall(text)), len(capital.findall(text))
    loud = sum(word.isupper() and len(word) > 3 for word in text.split())
    first = letter.search(text)
    return [
        *np.log1p([len(pattern.findall(text)) for pattern in _counted()]),
        float(np.log1p(size)),
        float(end.search(text) is not None),
        capitals / max(1, size),
        float(first is not None and capital.match(first[0]) is not None),
        float(np.log1p(loud)),
    ]


@cache
def _counted() -> tuple[Any, ...]:
    import regex

    return tuple(regex.compile(pattern, regex.VERSION1) for pattern in _PATTERNS.values())


@cache
def _signs() -> tuple[Any, Any, Any]:
    """A capital, a letter, the end of a text that ends as a sentence does."""
    import regex

    patterns = (r"\p{Lu}", r"\p{L}", _END)
    capital, letter, end = (regex.compile(pattern, regex.VERSION1) for pattern in patterns)
    return capital, letter, end


def _told_apart(values: Floats, of_second: npt.NDArray[np.int64]) -> Floats:
    """Signed scores of every text by a classifier that has not seen it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    found: Floats = cross_val_predict(
        classifier, values, of_second, cv=folds, method="decision_function"
    )
    return found


def _interval(
    right: npt.NDArray[np.bool_], of_second: npt.NDArray[np.int64]
) -> tuple[float, float, float]:
    generator = np.random.default_rng(0)
    shares, draws = [], []
    for side in (0, 1):
        hits = right[of_second == side]
        shares.append(hits.mean())
        draws.append(generator.binomial(len(hits), hits.mean(), RESAMPLES) / len(hits))
    low, high = np.percentile(_of(np.mean(draws, axis=0)), (2.5, 97.5))
    return float(_of(np.mean(shares))), float(low), float(high)


def _of(accuracy: Any) -> Any:
    """2 (1 - 2e) of a balanced accuracy 1 - e."""
    return np.maximum(0.0, 2 * (2 * accuracy - 1))


def _apart(
    values: Floats, of_second: npt.NDArray[np.int64], names: Sequence[str]
) -> tuple[str, ...]:
    """The three features whose means differ most, in their own standard deviations."""
    means = [values[of_second == side].mean(axis=0) for side in (0, 1)]
    spread = values.std(axis=0)
    difference = (means[1] - means[0]) / np.where(spread > 0, spread, 1)
    order = np.argsort(-np.abs(difference), kind="stable")[:3]
    return tuple(
        f"{'more' if difference[at] > 0 else 'less'} {names[at]}"
        for at in order
        if abs(difference[at]) > 0.2
    )
