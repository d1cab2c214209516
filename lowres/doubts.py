"""What went wrong, as tables show it: a line a symptom, the languages that have it, what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from lowres import figures, symptoms
from lowres.results import Results, Symptom

MOST: Final = 3
"""Languages of a line in the terminal; the report has all."""
NOTE: Final = (
    "Found: p < 0.05 over all targets together, and large. Possible: one test set alone suggests "
    "it. A symptom stands beside a low score; that it causes it is not proven."
)


@dataclass(frozen=True)
class Line:
    """One symptom over all languages, those first that have it most."""

    name: str
    found: tuple[Symptom, ...]
    possible: tuple[Symptom, ...]
    looked_at: int
    """Languages that it was looked for in."""

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
            found, possible = (
                tuple(sorted((s for s in its if s.verdict == verdict), key=lambda s: -abs(s.value)))
                for verdict in ("found", "possible")
            )
            lines.append(Line(name, found, possible, len(its)))
    return lines


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
