"""What a report says, worked out from `Results` alone: no drawing and no wording of tables here.

The terminal table and the HTML report both read this summary, so they can never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from lowres.results import Average, Comparison, LanguageRecord, Results, Score, Verdict
from lowres.variants import (
    BASE_AS_IS,
    CONTROLS,
    EXTENDED_ONLY,
    OLD_VOCABULARY,
    TRANSLATE_TEST,
    TRANSLATE_TRAIN,
)

MISSING = "–"
ADAPTER = "adapter"
SYSTEMS: dict[str, tuple[str, str]] = {
    "adapter": ("Adapter", "the adapter"),
    "probe": ("Frozen base", "the frozen base"),
    "tfidf": ("TF-IDF", "TF-IDF"),
    "lookup": ("Lookup", "a lookup of known words"),
    "majority": ("Majority", "the majority class"),
    "tfidf-target": ("TF-IDF on target", "TF-IDF taught in the target itself"),
    "lookup-target": ("Lookup on target", "a lookup taught in the target itself"),
    TRANSLATE_TRAIN: ("Translate-train", "the training on translations"),
    TRANSLATE_TEST: ("Translate-test", "the answers to translations"),
    BASE_AS_IS: ("Base as it is", "the base as it is"),
    OLD_VOCABULARY: ("Adapted, old vocabulary", "the same training on the old vocabulary"),
    EXTENDED_ONLY: ("Extended only", "the extension without adaptation"),
}
"""System -> its heading in a table, its words in a sentence. The order is that of the tables."""
YARDSTICKS = ("tfidf-target", "lookup-target")
"""Systems that saw labels of the target: no rivals of a transfer, but what labels would buy."""
STATUSES = {"ok": "ok", "collapsed": "collapsed", "nan": "not a number"}
METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy", "span_f1": "span F1"}


@dataclass(frozen=True)
class Figure:
    """A system's score on one language, 0 to 1: the mean over the seeds that can be trusted.

    `low`, `high`: mean of the seeds' 95% bootstrap bounds (how sure the test set makes us);
    `sd`: over seeds (how sure training makes us), None for fewer than two.
    """

    value: float
    low: float
    high: float
    sd: float | None
    seeds: int


@dataclass(frozen=True)
class LanguageRow:
    """One language of the table; a system without a score there is absent from `figures`."""

    language: LanguageRecord
    role: Literal["source", "target"]
    split: str
    n: int | None
    figures: dict[str, Figure]
    verdict: Verdict | None

    @property
    def adapter(self) -> Figure | None:
        """The adapter's figure; None when no seed can be trusted."""
        return self.figures.get(ADAPTER)


@dataclass(frozen=True)
class Summary:
    """Everything that the tables and the sentences say."""

    metric: str
    systems: tuple[str, ...]
    sources: tuple[LanguageRow, ...]
    targets: tuple[LanguageRow, ...]
    """Best adapter score first; without one, last."""
    averages: dict[tuple[str, str], Average]
    """(over, system) -> the row of the headline metric."""
    trusted_seeds: tuple[int, ...]

    @property
    def baselines(self) -> tuple[str, ...]:
        """Every system but the adapter, in the order of the table."""
        return tuple(system for system in self.systems if system != ADAPTER)

    @property
    def source_value(self) -> float | None:
        """The adapter's mean over the source languages."""
        values = [row.adapter.value for row in self.sources if row.adapter is not None]
        return fmean(values) if values else None

    def verdicts(self) -> dict[str, list[LanguageRow]]:
        """Verdict -> the targets that got it, commonest first."""
        groups: dict[str, list[LanguageRow]] = {}
        for row in self.targets:
            if row.verdict is not None:
                groups.setdefault(row.verdict.verdict, []).append(row)
        return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


@dataclass(frozen=True)
class Part:
    """A stretch of a sentence; `strong` where the eye should rest."""

    text: str
    strong: bool = False


def number(value: float | None) -> str:
    """`0.781`; a dash for what is missing or not finite, so that no table ever says `nan`."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.3f}"


def p_value(value: float) -> str:
    """`0.012`, and `< 0.001` where three decimals would claim certainty."""
    return "< 0.001" if value < 0.001 else number(value)


def signed(value: float | None) -> str:
    """`+0.012` or `−0.310` with a true minus sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:+.3f}".replace("-", "−")


def interval_of_points(found: Comparison) -> str:
    """`+17.1 (+11.2 to +23.0)` points of 100."""
    delta, low, high = (f"{100 * v:+.1f}" for v in (found.delta, found.low, found.high))
    return f"{delta} ({low} to {high})".replace("-", "−")


def whole(value: float | None) -> str:
    """`1,204`."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """`41 s`, `5 min 12 s`, `2 h 04 min`."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def energy(kwh: float | None) -> str:
    """`3.1 Wh` below a kilowatt-hour."""
    if kwh is None or not math.isfinite(kwh):
        return "not measured"
    return f"{kwh * 1000:.3g} Wh" if kwh < 1 else f"{kwh:.3g} kWh"


def metric_name(metric: str) -> str:
    """`macro-F1` for `macro_f1`."""
    return METRICS.get(metric, metric.replace("_", " "))


def heading(system: str) -> str:
    """`Frozen base` for `probe`; an unknown system keeps its name."""
    return SYSTEMS[system][0] if system in SYSTEMS else system


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def headline_metric(results: Results) -> str:
    """The metric checkpoints were chosen by; that of the first score when no curve names one."""
    scored = [score.metric for score in results.scores]
    chosen = [p.name.removeprefix("dev ") for p in results.curves if p.name.startswith("dev ")]
    candidates = [*(name for name in chosen if name in scored), *scored]
    return candidates[0] if candidates else ""


def figure(scores: Iterable[Score]) -> Figure | None:
    """One system on one language: seeds to a mean. None when no score is finite."""
    kept = [s for s in scores if all(map(math.isfinite, (s.value, s.low, s.high)))]
    if not kept:
        return None
    values = [s.value for s in kept]
    return Figure(
        value=fmean(values),
        low=fmean(s.low for s in kept),
        high=fmean(s.high for s in kept),
        sd=stdev(values) if len(values) > 1 else None,
        seeds=len(kept),
    )


def summarise(results: Results) -> Summary:
    """The figures of the headline metric, per language and averaged."""
    metric = headline_metric(results)
    trusted = {record.seed for record in results.seeds if record.status == "ok"}
    scores = [s for s in results.scores if s.metric == metric]
    usable = [s for s in scores if s.system != ADAPTER or s.seed is None or s.seed in trusted]
    # controls, few-shot systems and those with translations have tables of their own
    apart = (*CONTROLS, TRANSLATE_TRAIN, TRANSLATE_TEST)
    found = {s.system for s in scores if s.system not in apart and "-shot" not in s.system}
    known = [system for system in SYSTEMS if system in found]
    source_codes = set(_source_codes(results))
    rows = [_row(results, language, scores, usable, source_codes) for language in results.languages]
    targets = [row for row in rows if row.role == "target"]
    return Summary(
        metric=metric,
        systems=(*known, *sorted(found.difference(known))),
        sources=tuple(row for row in rows if row.role == "source"),
        targets=tuple(sorted(targets, key=lambda row: -(row.adapter.value if row.adapter else -1))),
        averages={
            (average.over, average.system): average
            for average in results.averages
            if average.metric == metric and math.isfinite(average.mean)
        },
        trusted_seeds=tuple(sorted(trusted)),
    )


def _source_codes(results: Results) -> list[str]:
    scored = [score.language for score in results.scores if score.role == "source"]
    named = results.recipe.get("languages", {}).get("source", [])
    return [*scored, *([named] if isinstance(named, str) else named)]


def _row(
    results: Results,
    language: LanguageRecord,
    scores: list[Score],
    usable: list[Score],
    source_codes: set[str],
) -> LanguageRow:
    by_system: dict[str, list[Score]] = {}
    for score in usable:
        if score.language == language.code:
            by_system.setdefault(score.system, []).append(score)
    figures = {system: figure(group) for system, group in by_system.items()}
    here = [score for score in scores if score.language == language.code]
    return LanguageRow(
        language=language,
        role="source" if language.code in source_codes else "target",
        split=here[0].split if here else "",
        n=here[0].n if here else None,
        figures={system: found for system, found in figures.items() if found is not None},
        verdict=next((v for v in results.verdicts if v.language == language.code), None),
    )


def plural(count: int, word: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def answer(summary: Summary) -> tuple[Part, ...]:
    """The run's finding in two sentences made of figures."""
    names = [row.language.name for row in summary.sources]
    taught = f"Taught with labels in {joined(names)} only, " if names else ""
    adapter = summary.averages.get(("targets", ADAPTER))
    if adapter is None:
        reason = "no seed of this run can be trusted" if not summary.trusted_seeds else "no target"
        return (Part(f"{taught}the adapter has no average to show: {reason}."),)
    # an adapter that `lowres evaluate` scored is one, and no seed of a run
    seeds = f", {plural(adapter.seeds, 'seed')}" if summary.trusted_seeds else ""
    parts = [
        Part(f"{taught}the adapter reaches {metric_name(summary.metric)} "),
        Part(number(adapter.mean), strong=True),
        Part(f" (mean of {plural(adapter.languages, 'target')}{seeds})"),
    ]
    rivals = [
        (SYSTEMS.get(system, (system, system))[1], average.mean)
        for system in summary.baselines
        if system not in YARDSTICKS
        and (average := summary.averages.get(("targets", system))) is not None
    ]
    for index, (name, mean) in enumerate(rivals):
        link = " against " if index == 0 else " and " if index == len(rivals) - 1 else ", "
        parts += [Part(link), Part(number(mean), strong=True), Part(f" for {name}")]
    return (*parts, Part(". "), *_verdict_sentence(summary), *_yardstick_sentence(summary))


def _yardstick_sentence(summary: Summary) -> tuple[Part, ...]:
    for system in YARDSTICKS:
        average = summary.averages.get(("targets", system))
        if average is not None:
            name = SYSTEMS[system][1].removesuffix(" in the target itself")
            return (
                Part(f" As a yardstick, {name} on labels of the targets themselves gets "),
                Part(number(average.mean), strong=True),
                Part("."),
            )
    return ()


def _verdict_sentence(summary: Summary) -> tuple[Part, ...]:
    groups = summary.verdicts()
    if not groups:
        return ()
    parts: list[str] = []
    for verdict, rows in groups.items():
        names = [row.language.name for row in rows]
        listed = "" if verdict == "transfers" or len(names) > 3 else f" ({joined(names)})"
        parts.append(f"{VERDICT_PHRASES[verdict]} {len(rows)}{listed}")
    total = plural(sum(map(len, groups.values())), "target")
    return (Part(f"Of {total} it {joined(parts)}."),)


VERDICT_PHRASES = {
    "transfers": "transfers to",
    "no better than TF-IDF": "is no better than TF-IDF on",
    "no better than lookup": "is no better than the lookup on",
    "collapsed": "collapsed on",
    "negative transfer": "transfers negatively to",
    "not judged": "is not judged on",
}


def strategy(results: Results) -> str:
    """What the run trained, by the name of `train.strategy`; LoRA where it is from before that."""
    said = (results.recipe.get("train") or {}).get("strategy")
    return str(said["name"]) if said else "lora"


def trained(results: Results) -> str:
    """`strategy` with what else tells two trainings apart: `lora, decay 0.9, freeze 4`."""
    section = results.recipe.get("train") or {}
    decay, freeze = section.get("layer_decay", 1), section.get("freeze") or {}
    parts = [strategy(results)]
    if decay != 1:
        parts.append(f"decay {decay:g}")
    # the layers' embeddings stay too
    if freeze.get("layers"):
        parts.append(f"freeze {freeze['layers']}")
    elif freeze.get("embeddings"):
        parts.append("freeze embeddings")
    return ", ".join(parts)
