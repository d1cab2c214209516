"""What extension and adaptation bring: the adapter beside its controls, worked out from `Results`.

A gain is claimed against the same training on the old vocabulary (or, where a recipe does not
extend, against the base as it is), and only where its interval is above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lowres.comparing import OVER_TARGETS
from lowres.results import Comparison, Results, Score
from lowres.variants import BASE_AS_IS, CONTROLS, OLD_VOCABULARY


@dataclass(frozen=True)
class Gain:
    """One target, or the mean of all (`language` is "targets").

    `values`: score by system, mean over seeds. `over_base`, `over_old`: paired comparisons.
    """

    language: str
    n: int | None
    values: dict[str, float]
    over_base: Comparison | None
    over_old: Comparison | None


@dataclass(frozen=True)
class Gains:
    """The table, and what may be said of it."""

    systems: tuple[str, ...]
    rows: tuple[Gain, ...]
    claim: str


def of(results: Results, metric: str) -> Gains | None:
    """The gains of a run in one metric; None where it has no controls.

    Few-shot systems are here only where results are of a time before they had curves of their own.
    """
    controls = [s for s in CONTROLS if any(score.system == s for score in results.scores)]
    drawn = any(point.examples > 0 for point in results.learning)
    every = dict.fromkeys(s.system for s in results.scores)
    shots = [] if drawn else [system for system in every if system.endswith("-shot")]
    if not controls and not shots:
        return None
    systems = (*controls, "adapter", *shots)
    every_score = [s for s in results.scores if s.metric == metric and s.system in systems]
    targets = list(dict.fromkeys(s.language for s in every_score if s.role == "target"))
    scores = [s for s in results.trusted() if s.metric == metric and s.system in systems]
    rows = [_row(results, scores, systems, [code], code) for code in targets]
    if len(targets) > 1:
        rows.append(_row(results, scores, systems, targets, OVER_TARGETS))
    against = OLD_VOCABULARY if OLD_VOCABULARY in systems else BASE_AS_IS
    claim = _claim(results, metric, targets, against) if controls else ""
    return Gains(systems, tuple(rows), claim)


def _row(
    results: Results,
    scores: Sequence[Score],
    systems: Sequence[str],
    languages: Sequence[str],
    name: str,
) -> Gain:
    here = [s for s in scores if s.language in languages]
    values = {
        system: fmean(found)
        for system in systems
        if (found := [s.value for s in here if s.system == system])
    }
    count = here[0].n if here and len(languages) == 1 else None
    return Gain(
        name,
        count,
        values,
        _against(results, BASE_AS_IS, name),
        _against(results, OLD_VOCABULARY, name),
    )


def _against(results: Results, system: str, language: str) -> Comparison | None:
    found = (c for c in results.comparisons if (c.b, c.language) == (system, language))
    return next(found, None)


def _claim(results: Results, metric: str, targets: Sequence[str], against: str) -> str:
    """In words: where there is a gain, where there is none, where there is a loss."""
    found = [_against(results, against, code) for code in targets]
    rows = [c for c in found if c is not None and c.metric == metric]
    what = (
        "Against the same training on the old vocabulary"
        if against == OLD_VOCABULARY
        else "Against the base as it is"
    )
    up = [c.language for c in rows if c.low > 0]
    down = [c.language for c in rows if c.high < 0]
    level = [c.language for c in rows if c.low <= 0 <= c.high]
    parts = [
        f"{word} {', '.join(codes)}"
        for word, codes in (
            ("a gain on", up),
            ("no gain that the test set could show on", level),
            ("a loss on", down),
        )
        if codes
    ]
    whole = _against(results, against, OVER_TARGETS)
    mean = (
        f" Mean of the targets: {100 * whole.delta:+.1f} points (95% {100 * whole.low:+.1f} to "
        f"{100 * whole.high:+.1f})."
        if whole is not None and len(targets) > 1
        else ""
    )
    return f"{what}: {'; '.join(parts) or 'not measured'}.{mean}".replace("-", "−")
