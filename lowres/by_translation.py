"""What translations bring: translate-train and translate-test beside the zero-shot adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lowres import figures
from lowres.comparing import OVER_TARGETS
from lowres.figures import ADAPTER, MISSING, number
from lowres.results import Comparison, Results, Score, TranslationRecord
from lowres.variants import TRANSLATE_TEST, TRANSLATE_TRAIN

MANY_LOST = 0.5
"""Share of spans that word alignment could not carry over, from which on the files are doubted."""
SYSTEMS = (TRANSLATE_TRAIN, TRANSLATE_TEST)
NOTE = (
    "In brackets the 95% interval, and below it the points gained over zero-shot with theirs "
    "(paired bootstrap, one seed). With translations it is no zero-shot transfer: there was a "
    "translator."
)


@dataclass(frozen=True)
class Cell:
    """A system on one language, means over seeds; `gain` is over zero-shot, None where no two could
    be compared. The mean of the targets has no interval of its own."""

    value: float
    low: float | None
    high: float | None
    gain: Comparison | None

    @property
    def gained(self) -> str:
        """`+3.1 (+1.0 to +5.2)` points."""
        return MISSING if self.gain is None else figures.interval_of_points(self.gain)

    @property
    def shown(self) -> str:
        """`0.612 (0.571 to 0.650)`."""
        if self.low is None or self.high is None:
            return number(self.value)
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


@dataclass(frozen=True)
class Line:
    """A target, or the mean of all (`targets`)."""

    language: str
    zero_shot: Cell | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Translations:
    """The table of a run."""

    systems: tuple[str, ...]
    lines: tuple[Line, ...]
    files: tuple[str, ...]
    """What became of the files, a sentence each."""


def of(results: Results) -> Translations | None:
    """What translations bring in a run's first metric; None where it has none."""
    metric = figures.headline_metric(results)
    scores = [s for s in results.trusted() if s.metric == metric]
    systems = tuple(name for name in SYSTEMS if any(s.system == name for s in scores))
    if not systems:
        return None
    targets = [
        record.code
        for record in results.languages
        if any((s.language, s.role) == (record.code, "target") for s in scores)
    ]
    lines = [_line(results, scores, systems, [code], code) for code in targets]
    lines = [line for line in lines if line.cells]
    if len(targets) > 1:
        lines.append(_line(results, scores, systems, targets, OVER_TARGETS))
    files = [said for record in results.translations for said in _said(record)]
    return Translations(systems, tuple(line for line in lines if line.cells), tuple(files))


def _line(
    results: Results,
    scores: Sequence[Score],
    systems: Sequence[str],
    languages: Sequence[str],
    name: str,
) -> Line:
    found = {system: _cell(results, scores, system, languages, name) for system in systems}
    cells = {system: cell for system, cell in found.items() if cell is not None}
    return Line(name, _cell(results, scores, ADAPTER, languages, name), cells)


def _cell(
    results: Results,
    scores: Sequence[Score],
    system: str,
    languages: Sequence[str],
    name: str,
) -> Cell | None:
    here = [s for s in scores if s.system == system and s.language in languages]
    if {s.language for s in here} != set(languages):
        return None
    one = len(languages) == 1
    against = (c for c in results.comparisons if (c.b, c.language) == (system, name))
    compared = next(against, None)
    return Cell(
        # a target may have lost a seed, and counts as much as the others
        fmean(fmean(s.value for s in here if s.language == code) for code in languages),
        fmean(s.low for s in here) if one else None,
        fmean(s.high for s in here) if one else None,
        None if compared is None else _turned(compared),
    )


def _turned(found: Comparison) -> Comparison:
    """`adapter` less a system as the system less `adapter`."""
    return found.model_copy(
        update={
            "a": found.b, "b": found.a, "delta": -found.delta, "low": -found.high,
            "high": -found.low,
        }
    )  # fmt: skip


def _said(record: TranslationRecord) -> list[str]:
    system = TRANSLATE_TRAIN if record.use == "train" else TRANSLATE_TEST
    begun = f"{system}, {record.language}: {figures.plural(record.n, 'translation')}"
    found = []
    if record.spans and record.use == "train":
        found.append(
            f"{begun}, {record.left_out:,} of them left out: {record.lost:,} of {record.spans:,} "
            "spans could not be carried over by word alignment."
        )
    elif record.spans:
        found.append(
            f"{begun}; {record.lost:,} of {record.spans:,} spans of the answers were lost on the "
            "way back."
        )
    if record.spans and record.lost >= MANY_LOST * record.spans:
        found.append(
            f"{begun}: half of the spans or more were lost: look whether each translation has the "
            "id of its own sentence, and is a close one."
        )
    if record.in_test:
        found.append(
            f"{begun}; {figures.plural(record.in_test, 'text')} of its test set stand among those "
            "that are trained on, word for word."
        )
    return found


def table(results: Results) -> list[RenderableType]:
    """Lines of the terminal; none where a run has no translations."""
    found = of(results)
    if found is None:
        return []
    metric = figures.metric_name(figures.headline_metric(results))
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left")
    drawn.title = Text(f"\nWhat translations bring: {metric}", style="bold")
    drawn.add_column("Target")
    drawn.add_column("zero-shot", justify="right")
    for system in found.systems:
        drawn.add_column(system, justify="right")
    for line in found.lines:
        name = "mean" if line.language == OVER_TARGETS else line.language
        drawn.add_row(
            name, _text(line.zero_shot), *(_text(line.cells.get(s)) for s in found.systems)
        )
    return [drawn, *(Text(said) for said in found.files), Text(NOTE, style="dim")]


def _text(cell: Cell | None) -> Text:
    if cell is None:
        return Text(MISSING)
    value, _, interval = cell.shown.partition(" ")
    below = "" if cell.gain is None else f"\n{cell.gained}"
    return Text.assemble((value, "bold"), (f" {interval}" if interval else "", "dim"), below)
