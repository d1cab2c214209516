"""Who is served badly by an adapter: the languages that its card warns of, and the figures why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lowres import figures
from lowres.figures import LanguageRow, Summary, number
from lowres.results import Score

RIVALS: Final = ("probe", "tfidf", "lookup", "majority")
"""Systems that know no label of the target either: below one of them the adapter is no use."""
BAD: Final = ("negative transfer", "collapsed", "no better than TF-IDF", "no better than lookup")
HALF: Final = 0.5
"""Below this share of the source's score a target is served badly, whatever the baselines say."""


@dataclass(frozen=True)
class Badly:
    """A language served badly. `figure`: its score with the interval; `reasons`: with figures."""

    name: str
    code: str
    figure: str
    reasons: tuple[str, ...]


def badly(summary: Summary, own: Mapping[str, Score]) -> list[Badly]:
    """Languages below a baseline or half of the source, and those that nothing was proven of.

    Args:
        summary: of the whole run.
        own: scores of the weights that are given away, by language.
    """
    found = []
    for row in (*summary.sources, *summary.targets):
        score = own.get(row.language.code)
        reasons = _reasons(row, score, summary.source_value)
        if reasons:
            shown = "no score" if score is None else _interval(score)
            found.append(Badly(row.language.name, row.language.code, shown, tuple(reasons)))
    return found


def better_taught(summary: Summary, own: Mapping[str, Score]) -> list[str]:
    """Targets on which a simple classifier with labels of their own beats the adapter."""
    found = []
    for row in summary.targets:
        score = own.get(row.language.code)
        taught = [row.figures[s].value for s in figures.YARDSTICKS if s in row.figures]
        if score is not None and taught and max(taught) > score.value:
            against = f"{number(max(taught))} against {number(score.value)}"
            found.append(f"{row.language.name} ({against})")
    return found


def _reasons(row: LanguageRow, score: Score | None, source: float | None) -> list[str]:
    if score is None:
        return ["these weights were not scored on it"]
    found = []
    verdict = row.verdict.verdict if row.verdict is not None else None
    if verdict in BAD:
        found.append(str(verdict))
    for system in RIVALS:
        rival = row.figures.get(system)
        if rival is not None and score.value < rival.value:
            clearly = ", and so is the upper end" if score.high < rival.value else ""
            name = figures.SYSTEMS[system][1]
            found.append(f"below {name} ({number(rival.value)}){clearly}")
    if row.role == "target" and source is not None and score.value < HALF * source:
        found.append(f"less than half of the source's {number(source)}")
    if row.role == "target" and verdict in (None, "not judged"):
        # its figures stand before
        reason = row.verdict.reason.rpartition("): ")[2] if row.verdict else "no verdict"
        found.append(f"not judged: {reason}")
    return found


def _interval(score: Score) -> str:
    return f"{number(score.value)} ({number(score.low)} to {number(score.high)})"
