"""Labels that are spread otherwise in a target than where the model was taught, and what it costs.

The cost is what the score would gain if the target's examples had the source's label shares, each
label answered as well or badly as it is: its examples are weighed (importance weights of label
shift; Lipton et al. 2018, arXiv:1802.03916).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lowres import registry, stats
from lowres.results import Symptom
from lowres.symptoms import FEWEST, RESAMPLES, TRY, Answered, Level, points, surely

Floats = npt.NDArray[np.float64]

LARGE: Final = 0.1
"""Total variation below which a shift is not worth a line, however sure."""
BY_LABEL: Final = ("macro_f1", "accuracy")
"""Metrics whose cost can be told: each answer has one gold label. A span has none where it is
wrong."""
NAMED: Final = 0.05
"""Difference of a label's share that is named."""
_SCALE: Final = 1e4


@dataclass(frozen=True)
class Cost:
    """Of a metric: at the target's own label shares, and at the source's; the gain's interval."""

    own: float
    moved: float
    draws: Floats

    @property
    def gain(self) -> float:
        """What the source's shares would bring."""
        return self.moved - self.own

    def sure(self, targets: int) -> bool:
        """Whether they would bring something, over so many languages that are asked about."""
        return surely(self.gain, self.draws, targets)


def label_shift(
    language: str,
    source: Sequence[Any],
    test: Answered,
    metric: str,
    labels: Sequence[str],
    targets: int,
) -> Symptom | None:
    """How far the labels of a target's test set are from those of the source's training data.

    Args:
        language: the target.
        source: gold labels, or lists of tags, of the source's training data.
        test: gold and answers of the target; `said` is empty where nothing can be trusted.
        metric: to tell the cost in.
        labels: of the study.
        targets: how many languages are looked at.

    Returns:
        None for less than `FEWEST` examples on a side, or where one side has no label.
    """
    if min(len(source), len(test.gold)) < FEWEST:
        return None
    names = sorted({label for row in (*source, *test.gold) for label in counted(row)})
    of_source, of_test = _counts(source, names), _counts(test.gold, names)
    if not of_source.sum() or not of_test.sum():
        return None
    expected, found = _shares(of_source.sum(axis=0)), _shares(of_test.sum(axis=0))
    value = _variation(found, expected)
    # how far the source's own labels would be, in as many examples
    chance = _variation(_drawn(of_source, len(test.gold), 1), expected)
    again = _variation(_drawn(of_test, len(test.gold), 2), expected)
    low, high = (float(v) for v in np.percentile(again, (2.5, 97.5)))
    verdict: Level = "no sign"
    cost = None
    if value >= LARGE and value > np.percentile(chance, 100 * (1 - stats.SIGNIFICANT / targets)):
        cost = _cost(test, metric, labels, dict(zip(names, expected, strict=True)))
        certain = cost is not None and cost.sure(targets)
        verdict = "found" if certain else "possible"
    return Symptom(
        name="label shift",
        language=language,
        figure="total variation of the label shares",
        value=value,
        low=low,
        high=high,
        n=len(test.gold),
        verdict=verdict,
        says=_says(value, float(np.median(chance)), names, found - expected, cost),
        advice="" if verdict == "no sign" else TRY["label shift"],
    )


def counted(row: Any) -> Sequence[str]:
    """The labels that are counted of an example: its label; its tags; where these are spans, the
    types of the spans, for nearly all words are outside of any."""
    if isinstance(row, str):
        return (row,)
    begins = [tag[2:] for tag in row if tag.startswith("B-")]
    return begins if begins or any(tag == "O" for tag in row) else row


def _counts(rows: Sequence[Any], names: Sequence[str]) -> Floats:
    """[examples, labels]."""
    column = {name: at for at, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)))
    for counts, row in zip(found, rows, strict=True):
        for name, count in Counter(counted(row)).items():
            counts[column[name]] = count
    return found


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _variation(shares: Floats, expected: Floats) -> Any:
    return np.abs(shares - expected).sum(axis=-1) / 2


def _drawn(counts: Floats, size: int, seed: int) -> Floats:
    """Label shares of so many examples drawn with replacement [resamples, labels]."""
    generator = np.random.default_rng(seed)
    # examples with the same labels are one kind: there are few, and a draw is how many of each
    kinds, numbers = np.unique(counts, axis=0, return_counts=True)
    often = generator.multinomial(size, numbers / numbers.sum(), size=RESAMPLES)
    return _shares(often @ kinds)


def _cost(
    test: Answered, metric: str, labels: Sequence[str], expected: dict[str, float]
) -> Cost | None:
    if metric not in BY_LABEL or not len(test.said):
        return None
    single = isinstance(test.gold[0], str)
    if not single and metric != "accuracy":
        return None
    names = list(dict.fromkeys(n for row in test.gold for n in counted(row)))
    wanted = np.array([expected.get(name, 0.0) for name in names])
    if not wanted.sum():
        return None
    sums, count = _by_label(test, metric, labels, names)
    module = registry.module("metrics", metric)
    size = len(test.gold)

    def of(counts: Floats) -> tuple[Floats, Floats]:
        own = np.tensordot(counts, sums, axes=(1, 0))  # [rows, labels, statistics]
        seen = counts @ count
        # only what is there can be weighed
        weights = np.where(seen > 0, wanted / np.maximum(seen, 1), 0) * _SCALE
        moved = (own * weights[:, :, None]).sum(axis=1)
        return (
            module.from_statistics(own.sum(axis=1), labels),
            module.from_statistics(moved, labels),
        )

    own, moved = (float(v[0]) for v in of(np.ones((1, size))))
    draws = [b - a for a, b in map(of, stats.drawn(size, RESAMPLES, 0))]
    return Cost(own, moved, np.concatenate(draws))


def _by_label(
    test: Answered, metric: str, labels: Sequence[str], names: Sequence[str]
) -> tuple[Floats, Floats]:
    """The metric's statistics of every example by gold label [examples, labels, statistics], and
    how often it has each [examples, labels]."""
    column = {name: at for at, name in enumerate(names)}
    count = np.zeros((len(test.gold), len(names)))
    if isinstance(test.gold[0], str):
        plain: Floats = registry.module("metrics", metric).statistics(test.gold, test.said, labels)
        sums = np.zeros((len(test.gold), len(names), plain.shape[1]))
        for at, gold in enumerate(test.gold):
            sums[at, column[gold]], count[at, column[gold]] = plain[at], 1
        return sums, count
    # accuracy of tags: right and all, as its statistics are
    sums = np.zeros((len(test.gold), len(names), 2))
    for at, (gold, said) in enumerate(zip(test.gold, test.said, strict=True)):
        for tag, answer in zip(gold, said, strict=True):
            sums[at, column[tag]] += (tag == answer, 1)
            count[at, column[tag]] += 1
    return sums, count


def _says(
    value: float, chance: float, names: Sequence[str], moved: Floats, cost: Cost | None
) -> str:
    order = np.argsort(-np.abs(moved), kind="stable")[:3]
    told = ", ".join(
        f"{names[at]} {100 * moved[at]:+.0f}" for at in order if abs(moved[at]) >= NAMED
    ).replace("-", "−")
    told = f" ({told} points)" if told else ""
    said = f"{value:.2f} from the source's training data{told}; {chance:.2f} would be chance"
    if cost is None:
        return said
    low, high = (float(v) for v in np.percentile(cost.draws, (2.5, 97.5)))
    return f"{said}. At the source's shares the score would move by " + points(cost.gain, low, high)
