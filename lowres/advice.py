"""What to do first for a target: extend, adapt, label, or look for text; in this order, with why.

The thresholds are those of `diagnose` and `corpus`. No gain is promised here: what each step
brought, and where it brought nothing, is in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lowres.corpus import LITTLE_WORDS
from lowres.diagnose import Finding

FEW: Final = 50
"""Labels of the target to begin with."""
TESTED: Final = 100
"""Labels of the target for testing, beside those."""

Word = Literal[
    "collect text", "another base", "extend and adapt", "adapt", "train", "label", "few labels"
]


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    word: Word
    why: str
    how: str
    """The section or key of a recipe, or the command."""


def steps(
    target: str,
    base: str,
    finding: Finding | None,
    seen: bool | None,
    words: int | None,
    sources: Sequence[str],
    labels: int = 0,
) -> tuple[Step, ...]:
    """What to do, first things first.

    Args:
        target: FLORES code.
        base: the best base that was looked at.
        finding: its tokenizer on the target's text; None without text.
        seen: whether its pretraining had the target; None where that is not known.
        words: of the target's text; None without text.
        sources: codes, the best first.
        labels: of the target that there are.
    """
    found = [_of_text(target, base, finding, seen, words), _of_sources(sources), _label(labels)]
    return tuple(step for step in found if step is not None)


def _of_text(
    target: str, base: str, finding: Finding | None, seen: bool | None, words: int | None
) -> Step | None:
    if finding is None or words is None:
        why = f"whether {base} can read {target} is not known without text"
        if seen is False:
            why += ", and its pretraining had none"
        return Step("collect text", why, f"{LITTLE_WORDS:,} words or more, then --text FILE")
    verdict = finding.verdict
    if verdict.word == "replace":
        return Step("another base", f"{base}: {verdict.reason}", verdict.advice)
    if verdict.word in ("extend", "script unknown"):
        if words < LITTLE_WORDS:
            why = f"{base}: {verdict.reason}, but {words:,} words of text teach no pieces"
            return Step(
                "collect text", why, f"{LITTLE_WORDS:,} words or more, better 100 times that"
            )
        why = f"{base}: {verdict.reason}"
        return Step(
            "extend and adapt", why, "sections text, tokenizer.extend and adapt of a recipe"
        )
    if seen is False and words >= LITTLE_WORDS:
        why = f"{base} reads the text well, but its pretraining had none of it"
        return Step("adapt", why, "sections text and adapt of a recipe")
    return None


def _of_sources(sources: Sequence[str]) -> Step | None:
    if not sources:
        return None
    # the first is often not the best, the best is often among the first: docs/advisor.md
    first = sources[:3]
    why = "the order is a guess from other languages; one run for each of the first settles it"
    if len(first) == 1:
        return Step("train", "the only source there is", f"languages.source: {first[0]}")
    return Step("train", why, f"languages.source: {', then '.join(first)}")


def _label(labels: int) -> Step:
    tells = "a hundred test examples show whether anything transfers; without them nothing does"
    if not labels:
        how = f"label {TESTED} for testing and {FEW} more: "
        return Step("label", tells, f"{how}languages.shots: [{FEW}] measures what they bring")
    if labels < TESTED + FEW:
        how = f"languages.shots: [0, {labels}] measures what they bring; label {TESTED} others for "
        return Step("label", f"you have {labels} labels: {tells}", f"{how}testing")
    left = labels - TESTED
    shots = dict.fromkeys((0, FEW, left))
    return Step(
        "few labels",
        f"you have {labels:,} labels: enough to test, and to see what a few bring",
        f"set {TESTED} aside for testing: languages.shots: [{', '.join(map(str, shots))}]",
    )
