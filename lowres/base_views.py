"""Which bases to try for a target: what their pretraining had, what their tokenizers make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lowres import bases, model, pretraining
from lowres.diagnose import Base, Finding, Text, english_lines, examine, measure
from lowres.fertility import figures

if TYPE_CHECKING:
    from lowres.bases import LocatedBase

NOT_HERE: Final = "its files are not on this disk; naming it fetches them"
NO_TEXT: Final = "without text its tokenizer is not looked at"
_ORDER: Final = ("fine", "extend", "script unknown", "replace")


@dataclass(frozen=True)
class BaseView:
    """A base, and what its tokenizer makes of the target's text."""

    name: str
    seen: bool | None
    """Whether its pretraining had the target in this script; None where that is not known here."""
    finding: Finding | None
    """None where its tokenizer was not looked at; `unread` says why."""
    unread: str | None
    """Why nothing but `seen` is known of it; None where more is."""
    reasons: tuple[str, ...]


def ranked(
    target: str, names: Sequence[str], findings: Mapping[str, Finding], unread: str
) -> list[BaseView]:
    """Bases, the best first: verdict, then seen in pretraining, then unknown pieces, then length.

    Those without a finding stand behind the others; a base of English alone behind all, whatever
    its tokenizer makes of the letters.

    Args:
        target: FLORES code.
        names: of bases.
        findings: name -> `look`'s of the target's text; empty without text.
        unread: why a base has none.
    """
    views = [_view(target, name, findings.get(name), unread) for name in names]

    def key(view: BaseView) -> tuple[bool, bool, int, bool, float, float]:
        row = bases.row_of(view.name)
        english = row is not None and row.pretraining == "english" and target[:3] != "eng"
        if view.finding is None:
            return (english, True, 0, view.seen is not True, 0.0, 0.0)
        m = view.finding.measured
        worst = _ORDER.index(view.finding.verdict.word)
        share = round(m.unknown_share, 3)
        return (english, False, worst, view.seen is not True, share, m.pieces_a_character)

    return sorted(views, key=key)


def _view(target: str, name: str, finding: Finding | None, unread: str) -> BaseView:
    reasons = []
    had = pretraining.seen(name, target)
    if had is not None:
        reasons.append(f"pretrained with {'' if had else 'no '}{target}")
    if finding is not None:
        reasons.append(f"tokenizer {finding.verdict.word}: {finding.verdict.reason}")
        m, e = finding.measured, finding.base.english
        reasons.append(f"{m.unknown_share:.1%} unknown pieces")
        if m.fertility is not None and e.fertility is not None:
            reasons.append(f"{m.fertility:.2f} pieces a word (English {e.fertility:.2f})")
    return BaseView(name, had, finding, None if finding else unread, tuple(reasons))


def look(located: LocatedBase, text: Text) -> Finding:
    """One base's tokenizer on the target's text; its unreachable pieces are not looked for."""
    tokenizer = model.load_tokenizer(located)
    english = measure(tokenizer, english_lines())
    return examine(Base(located.name, tokenizer, english, None, False), text)


def plain(view: BaseView) -> dict[str, Any]:
    """As JSON has it."""
    found = view.finding
    return {
        "name": view.name,
        "seen": view.seen,
        "verdict": found and found.verdict.word,
        "reason": found and found.verdict.reason,
        "measured": found and figures(found.measured),
        "unread": view.unread,
        "reasons": list(view.reasons),
    }
