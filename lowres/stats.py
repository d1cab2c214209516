"""Intervals, paired tests and verdicts, by the bootstrap over test examples.

Efron and Tibshirani 1993; the paired test as in Koehn 2004 (https://aclanthology.org/W04-3250).
Metrics give additive statistics per example, so all resamples of a test set are one product of
a count matrix [resamples, examples] with them. A sentence is one example, also in tagging: its
words are not independent. The same seed draws the same resamples for every system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowres import registry
from lowres.results import Comparison, Score, Verdict

Floats = npt.NDArray[np.float64]
Answers = Sequence[Any]
"""Label names, or one list of tag names an example."""

CHUNK_CELLS = 4_000_000
"""Cells of the count matrix held at once: 32 MB."""
COLLAPSE_SHARE = 0.99
SIGNIFICANT = 0.05
LABELS = {"tfidf": "TF-IDF", "lookup": "lookup", "probe": "probe", "majority": "majority"}


@dataclass(frozen=True)
class Interval:
    """A score, 0 to 1, with its 95% percentile interval over `n` test examples."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Delta:
    """Score of a minus score of b on the same examples; two-sided p for "no difference"."""

    delta: float
    low: float
    high: float
    p: float


def value_of(metric: str, gold: Answers, predicted: Answers, labels: Sequence[str]) -> float:
    """The metric (a name in `lowres/metrics`) on these examples, 0 to 1."""
    module = registry.module("metrics", metric)
    return float(module.from_statistics(module.statistics(gold, predicted, labels).sum(0), labels))


def score(
    metric: str,
    gold: Answers,
    predicted: Answers,
    labels: Sequence[str],
    resamples: int,
    seed: int = 0,
) -> Interval:
    """The metric (a name in `lowres/metrics`) with its interval; `ValueError` for no examples."""
    value, draws = bootstrap(metric, gold, predicted, labels, resamples, seed)
    low, high = np.percentile(draws, (2.5, 97.5))
    return Interval(value, float(low), float(high), len(gold))


def mean_score(
    metric: str,
    tests: Sequence[tuple[Answers, Answers]],
    labels: Sequence[str],
    resamples: int,
    seed: int = 0,
) -> Interval:
    """The mean of the metric over several answered test sets (gold, predicted): over languages,
    over seeds, or both; `n` counts the examples of all of them.

    Sets of one size are resampled alike, as in `paired_mean`. `ValueError` for no sets.
    """
    if not tests:
        raise ValueError(f"mean of {metric} over no test sets")
    found = [bootstrap(metric, *test, labels, resamples, seed) for test in tests]
    low, high = np.percentile(np.mean([draws for _, draws in found], axis=0), (2.5, 97.5))
    value = float(np.mean([value for value, _ in found]))
    return Interval(value, float(low), float(high), sum(len(gold) for gold, _ in tests))


def paired(
    metric: str,
    gold: Answers,
    a: Answers,
    b: Answers,
    labels: Sequence[str],
    resamples: int,
    seed: int = 0,
) -> Delta:
    """System a against system b, both on every resample.

    p = 2 min(share of resamples with delta <= 0, share with delta >= 0), each share with one
    added to both of its counts, so that no finite number of resamples gives p = 0.
    """
    return paired_mean(metric, [(gold, a, b)], labels, resamples, seed)


def paired_mean(
    metric: str,
    tests: Sequence[tuple[Answers, Answers, Answers]],
    labels: Sequence[str],
    resamples: int,
    seed: int = 0,
) -> Delta:
    """As `paired`, of the mean over several test sets, each given as (gold, a, b).

    Sets of one size are resampled alike: in a parallel set an example is the same in all languages.
    """
    deltas, all_draws = [], []
    for gold, a, b in tests:
        value_a, draws_a = bootstrap(metric, gold, a, labels, resamples, seed)
        value_b, draws_b = bootstrap(metric, gold, b, labels, resamples, seed)
        deltas.append(value_a - value_b)
        all_draws.append(draws_a - draws_b)
    draws = np.mean(all_draws, axis=0)
    low, high = np.percentile(draws, (2.5, 97.5))
    tails = ((draws <= 0).sum() + 1, (draws >= 0).sum() + 1)
    p = min(1.0, 2 * float(min(tails)) / (resamples + 1))
    return Delta(float(np.mean(deltas)), float(low), float(high), p)


def bootstrap(
    metric: str, gold: Answers, predicted: Answers, labels: Sequence[str], resamples: int, seed: int
) -> tuple[float, Floats]:
    """The metric on the test set and on every resample of it [resamples].

    Raises `ValueError` for no examples.
    """
    if not len(gold):
        raise ValueError(f"{metric} of no examples: the test set is empty")
    module = registry.module("metrics", metric)
    statistics: Floats = module.statistics(gold, predicted, labels)
    value = float(module.from_statistics(statistics.sum(axis=0), labels))
    sums = [counts @ statistics for counts in drawn(len(gold), resamples, seed)]
    return value, module.from_statistics(np.concatenate(sums), labels)


def drawn(examples: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often every example was drawn, [rows, examples] a chunk: rows are multinomial."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK_CELLS // examples)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        picked = generator.integers(examples, size=(size, examples))
        picked += np.arange(size)[:, None] * examples
        counts = np.bincount(picked.ravel(), minlength=size * examples)
        yield counts.reshape(size, examples).astype(np.float64)


def collapsed(predicted: Answers, gold: Answers) -> bool:
    """Whether a model gives (nearly) always the same answer while the gold has others.

    True when at least 99% of the answers are one label and the other labels are less than half
    as many as in the gold. For tags both count words.
    """
    answers, truth = Counter(_flat(predicted)), Counter(_flat(gold))
    if not answers or not truth:
        return False
    label, count = answers.most_common(1)[0]
    others, gold_others = answers.total() - count, truth.total() - truth[label]
    return count / answers.total() >= COLLAPSE_SHARE and 2 * others < gold_others


def judge(
    language: str,
    gold: Answers,
    predicted: Answers,
    comparisons: Sequence[Comparison],
    scores: Sequence[Score],
    seed: int,
) -> Verdict:
    """The adapter's verdict on one target, in plain words with figures.

    `predicted`: the adapter's answers with `seed`; `comparisons`: of the adapter (a) with the
    baselines (b) on this language, in one metric, which is the one judged by; `scores`: of all
    systems on this language. In this order: *collapsed* (see `collapsed`) and not above majority;
    *negative transfer*: significantly below the probe or majority; *transfers*: significantly
    above the best of TF-IDF and lookup; else *no better than* that one. Significant: p < 0.05.
    """
    against = {found.b: found for found in comparisons}
    lexical = [system for system in ("tfidf", "lookup") if system in against]
    if not comparisons:
        return Verdict(language=language, verdict="not judged", reason="no baseline was run")
    metric = comparisons[0].metric
    values = {s.system: s.value for s in scores if s.metric == metric and s.seed is None}
    own = next(s for s in scores if (s.system, s.metric, s.seed) == ("adapter", metric, seed))
    name = metric.replace("_", "-")
    figures = f"{name} {own.value:.3f} (95% {own.low:.3f} to {own.high:.3f}, n {own.n})"

    def verdict(word: Any, relation: str, *systems: str) -> Verdict:
        named = [_figures(against[s], values[s]) for s in systems if s in against]
        reason = f"{figures}: {relation} {named[0]}" if named else f"{figures}: {relation}"
        return Verdict(language=language, verdict=word, reason="; ".join([reason, *named[1:]]))

    majority = against.get("majority")
    if collapsed(predicted, gold) and not (majority and _above(majority)):
        relation = "nearly all answers are one label, no better than"
        return verdict(
            "collapsed", relation if majority else "nearly all answers are one label", "majority"
        )
    for system in ("probe", "majority"):
        if system in against and _below(against[system]):
            return verdict("negative transfer", "significantly below", system)
    if not lexical:
        return verdict("not judged", "neither TF-IDF nor lookup was run to compare with")
    best = max(lexical, key=lambda system: values[system])
    if _above(against[best]):
        return verdict("transfers", "significantly above", best, "probe")
    return verdict(f"no better than {LABELS[best]}", "not significantly above", best, "probe")


def _figures(found: Comparison, value: float) -> str:
    return (
        f"{LABELS[found.b]} {value:.3f} ({100 * found.delta:+.1f} points, 95% "
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}, p {found.p:.3f})"
    )


def _above(found: Comparison) -> bool:
    return found.delta > 0 and found.p < SIGNIFICANT


def _below(found: Comparison) -> bool:
    return found.delta < 0 and found.p < SIGNIFICANT


def _flat(answers: Answers) -> Iterator[str]:
    for answer in answers:
        if isinstance(answer, str):
            yield answer
        else:
            yield from answer
