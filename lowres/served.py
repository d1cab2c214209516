"""Who is served badly: the targets' scores by script, family, pretraining or fertility.

Languages are the unit: a group is as good as the mean of its languages, and its interval says how
far other languages of its kind would be from it (Student's t; none below three languages). Groups
differ in more than what they are named by: a script that comes late in this table is often that of
languages with little text on the web.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Literal

from lowres import figures, pretraining, uriel
from lowres.corpus import SPACELESS
from lowres.errors import RunError, nearest
from lowres.results import LanguageRecord, Results

By = Literal["script", "family", "seen", "fertility"]
WAYS: Final[tuple[By, ...]] = ("script", "family", "seen", "fertility")
UNKNOWN: Final = "not known"
UNKNOWN_PIECES: Final = 0.05
"""Share of unknown pieces from which on a language is a group of its own kind."""
EDGES: Final = (1.5, 2.0, 3.0)
"""Pieces a word."""
FEWEST: Final = 3
"""Languages of a group with an interval: that of two is nearly always everything."""
NOTE: Final = (
    "Mean over the targets of a group; 95% interval over languages (Student's t), none below three "
    "languages. Gap: to the best group. Groups differ in more than their name."
)


@dataclass(frozen=True)
class Group:
    """Targets of one kind. `low`, `high`: 95% interval of the mean over such languages, 0 to 1,
    None below `FEWEST`. `gap`: to the best group, 0 for itself. `lowest`: the language of the group
    that is served worst, and its score."""

    name: str
    languages: tuple[str, ...]
    mean: float
    low: float | None
    high: float | None
    gap: float
    lowest: str
    lowest_score: float


@dataclass(frozen=True)
class Gaps:
    """The groups of one run, best first."""

    run: str
    by: By
    metric: str
    groups: tuple[Group, ...]


def gaps(results: Results, by: By) -> Gaps:
    """The targets of a run in groups; the mean over trusted seeds is a language's score.

    Raises `RunError` where the run cannot be grouped so; the message says what is lacking.
    """
    summary = figures.summarise(results)
    group_of = _groupers(results)[by]()
    scored: dict[str, dict[str, float]] = {}
    for row in summary.targets:
        if row.adapter is not None:
            its = scored.setdefault(group_of(row.language), {})
            its[row.language.code] = row.adapter.value
    if not scored:
        raise RunError("compare --by: no target of this run has a score that can be trusted")
    best = max(fmean(its.values()) for its in scored.values())
    groups = [_group(name, its, best) for name, its in scored.items()]
    name = str(results.recipe.get("name", "run"))
    ordered = tuple(sorted(groups, key=lambda group: (-group.mean, group.name)))
    return Gaps(name, by, summary.metric, ordered)


def every(results: Results) -> list[Gaps]:
    """All groupings of a run that have two groups or more; what is lacking is left out."""
    found = []
    for by in WAYS:
        try:
            its = gaps(results, by)
        except RunError:
            continue
        if len(its.groups) > 1:
            found.append(its)
    return found


def interval(group: Group) -> str:
    """`0.512–0.634`, or a dash where there is none."""
    if group.low is None or group.high is None:
        return figures.MISSING
    return f"{figures.number(group.low)}–{figures.number(group.high)}"


def way(name: str) -> By:
    """`--by`'s value. Raises `RunError` for another one."""
    for each in WAYS:
        if name == each:
            return each
    raise RunError(f"--by {name}: expected one of {', '.join(WAYS)}{nearest(name, WAYS)}")


def _group(name: str, its: Mapping[str, float], best: float) -> Group:
    values = list(its.values())
    mean = fmean(values)
    low, high = _interval(values)
    lowest = min(sorted(its), key=lambda code: its[code])
    return Group(name, tuple(sorted(its)), mean, low, high, mean - best, lowest, its[lowest])


def _interval(values: list[float]) -> tuple[float | None, float | None]:
    if len(values) < FEWEST:
        return None, None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return max(0.0, fmean(values) - half), min(1.0, fmean(values) + half)


Grouper = Callable[[LanguageRecord], str]


def _groupers(results: Results) -> dict[By, Callable[[], Grouper]]:
    return {
        "script": lambda: lambda language: language.script,
        "family": lambda: _family,
        "seen": lambda: _seen(results),
        "fertility": lambda: _fertility(results),
    }


def _family(language: LanguageRecord) -> str:
    found = uriel.family(language.code)
    if found is not None:
        return found
    return UNKNOWN if uriel.present() else f"{UNKNOWN} ({uriel.INSTALL} may know)"


def _seen(results: Results) -> Grouper:
    base = results.base.hub_id or results.base.name
    if not pretraining.known(base):
        raise RunError(
            f"compare --by seen: which languages {results.base.name} was pretrained on is not "
            "known to lowres; take --by script, family or fertility"
        )
    said = {True: "seen", False: "not seen", None: UNKNOWN}
    return lambda language: said[pretraining.seen(base, language.code)]


def _fertility(results: Results) -> Grouper:
    records = {row.language: row for row in results.tokenizer}
    if not records:
        raise RunError(
            "compare --by fertility: results.json says nothing of the tokenizer; only runs do, and "
            "not what lowres evaluate made"
        )

    def group(language: LanguageRecord) -> str:
        row = records.get(language.code)
        if row is None:
            return UNKNOWN
        if row.unknown_share >= UNKNOWN_PIECES:
            return f"over {UNKNOWN_PIECES:.0%} unknown pieces"
        if language.script in SPACELESS:
            return "no spaces between words"
        for low, high in zip((0.0, *EDGES), (*EDGES, math.inf), strict=True):
            if row.fertility < high:
                return _span(low, high)
        return UNKNOWN

    return group


def _span(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{low:g} pieces a word or more"
    return f"{low:g} to {high:g} pieces a word" if low else f"under {high:g} pieces a word"
