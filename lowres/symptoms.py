"""What went wrong, or did not: six things that spoil a transfer, each with its figure.

*Found* is said only of what chance hardly does: p < 0.05, over all targets of a study together
where a symptom is looked for in each of them, and large enough to matter. *Possible* is what one
test set alone would suggest. All figures are of answers that are there already; nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from lowres import stats
from lowres.results import Comparison, Symptom
from lowres.stats import SIGNIFICANT
from lowres.style import Distance
from lowres.variants import BASE_AS_IS

Floats = npt.NDArray[np.float64]
Level = Literal["found", "possible", "no sign"]

NAMES: Final = (
    "domain shift",
    "negative transfer",
    "forgetting",
    "over-fitting",
    "tokenisation",
    "label shift",
)
"""In the order of the tables."""
RESAMPLES: Final = 1000
FEWEST: Final = 10
"""Examples (or words) of a group: of fewer nothing is said."""
FAR: Final = 1.0
"""Proxy A-distance above which, with its whole interval, two sets are written differently."""
NEAR: Final = 0.8
"""Translations of the same texts stay below it with their whole interval (docs, `What went
wrong`)."""
POINTS: Final = 0.02
"""Losses below it are not worth a line while their interval includes zero."""
GAP: Final = 0.1
"""From train to dev; that much of a gap, or of a rise in errors, is called found."""
UNKNOWN: Final = 0.05
"""Share of pieces that the tokenizer has no letters for."""

BEFORE: Final = {
    "probe": "the frozen base with a classifier on it",
    "majority": "the majority class",
    BASE_AS_IS: "the same training on the base as it is",
}
"""What an adapter must not be below, in words."""
TRY: Final = {
    "domain shift": "labels on texts of the target's own kind: another source data set, or "
    "languages.shots",
    "negative transfer": "train.strategy: probe, a lower train.learning_rate, or another source",
    "forgetting": "adapt.epochs lower, adapt.learning_rate lower, or per_language",
    "forgetting few": "fewer epochs on them, or keep the zero-shot adapter for the source",
    "over-fitting": "fewer train.epochs, a higher lora.dropout, or more source languages",
    "tokenisation": "tokenizer.extend with raw text; `lowres tokenizer diagnose` says what it buys",
    "label shift": "a few labelled examples (languages.shots), or source examples drawn at the "
    "target's shares",
}


@dataclass(frozen=True)
class Answered:
    """Answers to one set of examples."""

    gold: Sequence[Any]
    said: Sequence[Any]


@dataclass(frozen=True)
class Cut:
    """What a tokenizer makes of the items (texts, or words) of one test set.

    `pieces`: of each item, a word or, where the script sets no spaces, a character; `wrong`: 1
    where the answer is; `example`: which example an item is of, so that they are drawn together.
    """

    pieces: Floats
    wrong: Floats
    example: npt.NDArray[np.int64]
    unit: str
    """`a word` or `a character`."""
    unknown: float
    """Share of pieces."""


def domain_shift(
    language: str, found: Distance | None, pooled: float | None = None
) -> Symptom | None:
    """How differently a target's test texts are written from the source's training texts.

    `pooled`: the same distance in the base's pooled vectors. It decides nothing: languages alone
    are far from each other there.
    """
    if found is None:
        return None
    verdict: Level = "no sign"
    if found.low > FAR:
        verdict = "found"
    elif found.value > NEAR:
        verdict = "possible"
    told = f": {', '.join(found.apart)}" if found.apart and verdict != "no sign" else ""
    if pooled is not None:
        told += f"; {pooled:.2f} on the base's pooled vectors, which tell languages apart too"
    return Symptom(
        name="domain shift",
        language=language,
        figure="proxy A-distance of how the texts are written",
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        verdict=verdict,
        says=f"{_of(found.value, found.low, found.high)} of 2 from the source's training "
        f"texts{told}",
        advice=_advice("domain shift", verdict),
        pooled=pooled,
    )


def negative_transfer(language: str, comparisons: Sequence[Comparison], n: int) -> Symptom | None:
    """Whether the adapter is below the frozen base, majority or the base as it is."""
    rivals = [c for c in comparisons if c.language == language and c.b in BEFORE]
    if not rivals:
        return None
    worst = min(rivals, key=lambda c: c.delta)
    verdict: Level = "no sign"
    if any(c.delta < 0 and c.p < SIGNIFICANT for c in rivals):
        worst = min((c for c in rivals if c.p < SIGNIFICANT), key=lambda c: c.delta)
        verdict = "found"
    elif worst.delta < -POINTS:
        verdict = "possible"
    return _compared("negative transfer", worst, 1, n, verdict, BEFORE[worst.b])


def forgetting(language: str, comparisons: Sequence[Comparison], n: int) -> list[Symptom]:
    """What the source lost by adaptation, and by training on a few examples of the targets."""
    here = [c for c in comparisons if c.language == language]
    lost = []
    for c in here:
        # a - b: the adapter after adaptation, or before the few examples
        sign = 1 if c.b == BASE_AS_IS else -1 if c.b.endswith("-shot") else 0
        if sign:
            worse = sign * c.delta < 0
            verdict: Level = "found" if worse and c.p < SIGNIFICANT else "no sign"
            if verdict == "no sign" and sign * c.delta < -POINTS:
                verdict = "possible"
            few = f"the zero-shot adapter, after {c.b} training"
            beside = BEFORE[BASE_AS_IS] if sign == 1 else few
            lost.append(_compared("forgetting", c, sign, n, verdict, beside))
    return lost


def worst_forgotten(found: Mapping[str, Comparison], n: int) -> Symptom | None:
    """As `forgetting`, where the examples of each target trained an adapter of their own: the one
    that lost most stands for all with as many examples.

    Args:
        found: by target, the zero-shot adapter against that one, on the source.
        n: examples of the source.
    """
    if not found or n < FEWEST:
        return None
    target, worst = max(found.items(), key=lambda each: each[1].delta)
    # the worst of many is often low by chance: sure over all of them, by the normal curve
    curve = NormalDist()
    deviation = (worst.high - worst.low) / 2 / curve.inv_cdf(1 - SIGNIFICANT / 2)
    edge = curve.inv_cdf(1 - SIGNIFICANT / 2 / len(found))
    verdict: Level = "no sign"
    if worst.delta > 0 and worst.delta - edge * deviation > 0:
        verdict = "found"
    elif worst.delta > POINTS:
        verdict = "possible"
    of_all = f", the worst of {len(found)} targets" if len(found) > 1 else ""
    beside = f"the zero-shot adapter, after {worst.b} training on {target}{of_all}"
    return _compared("forgetting", worst, -1, n, verdict, beside)


def _compared(
    name: Any, found: Comparison, sign: int, n: int, verdict: Level, beside: str
) -> Symptom:
    """A paired comparison as a symptom; `sign` -1 turns it around."""
    low, high = sorted((sign * found.low, sign * found.high))
    few = name == "forgetting" and sign == -1
    return Symptom(
        name=name,
        language=found.language,
        figure=f"{found.metric} over {found.b}" if sign == 1 else f"{found.b} over the adapter",
        value=sign * found.delta,
        low=low,
        high=high,
        n=n,
        verdict=verdict,
        says=f"{points(sign * found.delta, low, high)} against {beside}",
        advice=_advice("forgetting few" if few else name, verdict),
    )


def over_fitting(
    language: str, metric: str, train: Answered, dev: Answered, labels: Sequence[str]
) -> Symptom | None:
    """How much better a sample of the training examples is answered than source dev."""
    if min(len(train.gold), len(dev.gold)) < FEWEST:
        return None
    # two sets, so two independent draws
    values, draws = zip(
        *(
            stats.bootstrap(metric, part.gold, part.said, labels, RESAMPLES, seed)
            for seed, part in enumerate((train, dev))
        ),
        strict=True,
    )
    gap = values[0] - values[1]
    low, high = np.percentile(draws[0] - draws[1], (2.5, 97.5))
    verdict: Level = "no sign"
    if low > 0:
        verdict = "found" if gap >= GAP else "possible" if gap >= GAP / 2 else "no sign"
    return Symptom(
        name="over-fitting",
        language=language,
        figure=f"{metric} of training examples over dev",
        value=gap,
        low=float(low),
        high=float(high),
        n=len(train.gold) + len(dev.gold),
        verdict=verdict,
        says=f"{values[0]:.3f} on {len(train.gold)} training examples, {values[1]:.3f} on "
        f"{len(dev.gold)} of dev: {points(gap, float(low), float(high))}",
        advice=_advice("over-fitting", verdict),
    )


def tokenisation(language: str, cut: Cut, targets: int) -> Symptom | None:
    """Whether a target is read in unknown pieces, or what is cut finely is answered worse.

    The third of the items with the most pieces against the third with the fewest; items with as
    many pieces are in one group. `targets`: how many languages are looked at.
    """
    if cut.unknown >= UNKNOWN:
        return _unknown(language, cut)
    low_edge, high_edge = np.quantile(cut.pieces, (1 / 3, 2 / 3)) if len(cut.pieces) else (0, 0)
    fine = cut.pieces > high_edge if (cut.pieces > high_edge).any() else cut.pieces == high_edge
    coarse = cut.pieces <= low_edge
    if low_edge == high_edge and (coarse & fine).any():
        return None
    if min(coarse.sum(), fine.sum()) < FEWEST:
        return None
    errors = [float(cut.wrong[group].mean()) for group in (coarse, fine)]
    rise = errors[1] - errors[0]
    draws = _rises(cut, coarse, fine)
    low, high = (float(v) for v in np.percentile(draws, (2.5, 97.5)))
    verdict: Level = "no sign"
    if rise >= GAP and surely(rise, draws, targets):
        verdict = "found"
    elif low > 0:
        verdict = "possible"
    return Symptom(
        name="tokenisation",
        language=language,
        figure="error rate of the finest third over the coarsest",
        value=rise,
        low=low,
        high=high,
        n=len(cut.pieces),
        verdict=verdict,
        says=f"{errors[1]:.0%} errors where a text has over {high_edge:.2f} pieces {cut.unit}, "
        f"{errors[0]:.0%} where it has {low_edge:.2f} or less: {points(rise, low, high)}",
        advice=_advice("tokenisation", verdict),
    )


def _unknown(language: str, cut: Cut) -> Symptom:
    return Symptom(
        name="tokenisation",
        language=language,
        figure="share of unknown pieces",
        value=cut.unknown,
        n=len(cut.pieces),
        verdict="found",
        says=f"{cut.unknown:.0%} of the pieces are unknown: the base cannot read them",
        advice=TRY["tokenisation"],
    )


def _rises(cut: Cut, coarse: Any, fine: Any) -> Floats:
    """Difference of the two error rates in resamples of the examples [resamples]."""
    size = int(cut.example.max()) + 1
    sums = np.zeros((size, 4))
    for at, group in enumerate((coarse, fine)):
        np.add.at(sums[:, 2 * at], cut.example[group], cut.wrong[group])
        np.add.at(sums[:, 2 * at + 1], cut.example[group], 1)
    drawn = np.concatenate([counts @ sums for counts in stats.drawn(size, RESAMPLES, 0)])
    rates = drawn[:, ::2] / np.maximum(drawn[:, 1::2], 1)
    rises: Floats = rates[:, 1] - rates[:, 0]
    return rises


def surely(value: float, draws: Floats, questions: int) -> bool:
    """Whether a figure is above zero at p < 0.05 over so many questions together (Bonferroni).

    By the normal curve with the spread of the draws: a thousand of them do not reach so far out.
    """
    edge = NormalDist().inv_cdf(1 - SIGNIFICANT / 2 / questions)
    return bool(value - edge * draws.std() > 0)


def points(value: float, low: float, high: float) -> str:
    """`−8.9 points (95% −21.0 to +3.1)`, a difference of shares or scores."""
    # adding zero makes one of minus zero
    value, low, high = (round(100 * number, 1) + 0.0 for number in (value, low, high))
    text = f"{value:+.1f} points (95% {low:+.1f} to {high:+.1f})"
    return text.replace("-", "−")


def _of(value: float, low: float, high: float) -> str:
    return f"{value:.2f} (95% {low:.2f} to {high:.2f})"


def _advice(name: str, verdict: Level) -> str:
    return "" if verdict == "no sign" else TRY[name]
