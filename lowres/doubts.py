"""What went wrong, as tables show it: a line a symptom, the languages that have it, what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from lowres import figures, style, symptoms
from lowres.results import Results, Symptom

MOST: Final = 3
"""Languages of a line in the terminal; the report has all."""
NOTE: Final = (
    "Found: p < 0.05 over all targets together, and large. Possible: one test set alone suggests "
    "it. A symptom stands beside a low score; that it causes it is not proven."
)

_OF_ANSWERS: Final = ("negative transfer", "forgetting", "over-fitting", "tokenisation")
_WHY: Final = {
    "domain shift": f"fewer than {style.FEWEST} texts to train on, or in each test set",
    "negative transfer": "no baseline that an adapter must not be below (evaluate.baselines: "
    "probe, majority)",
    "forgetting": "no control (adapt.controls) and no shots (languages.shots)",
    "over-fitting": f"fewer than {symptoms.FEWEST} examples of a source to train on, or in its dev "
    "set",
    "tokenisation": f"fewer than {symptoms.FEWEST} texts (tagging: words) in a third of each test "
    "set, or all are cut alike",
    "label shift": f"fewer than {symptoms.FEWEST} examples to train on, or in each test set",
}
"""What a symptom lacks that was not looked for."""


@dataclass(frozen=True)
class Line:
    """One symptom over all languages, those first that have it most."""

    name: str
    found: tuple[Symptom, ...]
    possible: tuple[Symptom, ...]
    clear: tuple[Symptom, ...] = ()

    @property
    def rows(self) -> tuple[Symptom, ...]:
        """All of it, what is surest first."""
        return (*self.found, *self.possible, *self.clear)

    @property
    def looked_at(self) -> int:
        """Figures there are: one a language, but several of what a few examples made forget."""
        return len(self.rows)

    @property
    def advice(self) -> str:
        """What to try, of the first that has it."""
        return next((s.advice for s in (*self.found, *self.possible)), "")


def of(rows: Sequence[Symptom]) -> list[Line]:
    """One line a symptom that was looked for, in the order of `symptoms.NAMES`."""
    lines = []
    for name in symptoms.NAMES:
        its = [row for row in rows if row.name == name]
        if its:
            groups = (
                tuple(sorted((s for s in its if s.verdict == verdict), key=lambda s: -abs(s.value)))
                for verdict in ("found", "possible", "no sign")
            )
            lines.append(Line(name, *groups))
    return lines


def not_looked_for(results: Results) -> list[tuple[str, str]]:
    """Symptoms that were looked for in no language, each with why.

    Empty where nothing was looked for at all: a run of before, or what `lowres evaluate` made.
    """
    seen = {row.name for row in results.symptoms}
    return [(name, _why(name, results)) for name in symptoms.NAMES if seen and name not in seen]


def _why(name: str, results: Results) -> str:
    if name in _OF_ANSWERS and not any(seed.status == "ok" for seed in results.seeds):
        return "no seed can be trusted"
    shots = (results.recipe.get("languages") or {}).get("shots") or ()
    if name == "forgetting" and any(number != 0 for number in shots):
        return (
            "no control (adapt.controls), and few-shot adapters of one target each are not asked "
            "about the source (few_shot.together)"
        )
    return _WHY[name]


def table(results: Results) -> list[RenderableType]:
    """Lines of the terminal: what was found, and the names of the rest; nothing for none looked
    for."""
    lines = of(results.symptoms)
    if not lines:
        return []
    blocks: list[RenderableType] = []
    for line in lines:
        if line.found:
            blocks.append(Text.assemble((f"{line.name}", "bold red"), f": {_who(line.found)}"))
            blocks.append(Text(f"  try: {line.advice}"))
    title = Text("\nWhat went wrong", style="bold")
    clear = [line.name for line in lines if not line.found and not line.possible]
    maybe = [line.name for line in lines if not line.found and line.possible]
    rest = [
        f"{what}: {figures.joined(names)}."
        for what, names in (("possible, see the report", maybe), ("no sign of", clear))
        if names
    ]
    said = " ".join(part[0].upper() + part[1:] for part in rest)
    return [title, *blocks, *([Text(said, style="dim")] if said else [])]


def _who(found: Sequence[Symptom]) -> str:
    shown = "; ".join(f"{s.language}, {s.says}" for s in found[:MOST])
    more = len(found) - MOST
    return shown + (f"; and {figures.plural(more, 'language')} more" if more > 0 else "")
