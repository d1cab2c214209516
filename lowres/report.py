"""Draw results: the table at the end of a run and `report.html`. Reads `Results`, nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lowres import by_translation, charts, doubts, figures, gains, learning, served
from lowres.comparing import OVER_TARGETS
from lowres.figures import ADAPTER, MISSING, Figure, LanguageRow, Summary, number
from lowres.variants import OLD_VOCABULARY

if TYPE_CHECKING:
    from markupsafe import Markup

    from lowres.results import Comparison, Confusion, Mistake, Results, SeedRecord

MAX_MISTAKES = 20
# verdict -> its mark (told apart without colour), its CSS class, its style in a terminal
VERDICTS = {
    "transfers": ("✓", "good", "green"),
    "no better than TF-IDF": ("≈", "even", "yellow"),
    "no better than lookup": ("≈", "even", "yellow"),
    "collapsed": ("✕", "bad", "red"),
    "negative transfer": ("↓", "bad", "red"),
    "not judged": ("?", "none", "dim"),
}
# headings broken so that five figures fit beside a name and a verdict in 80 columns
NARROW_HEADINGS = {
    "majority": "Major-\nity",
    "probe": "Frozen\nbase",
    "tfidf-target": "TF-IDF,\ntarget",
    "lookup-target": "Lookup,\ntarget",
}
GROUPS = {
    "script": "By script",
    "family": "By family",
    "seen": "By whether pretraining had it",
    "fertility": "By pieces a word",
}
GAIN_HEADINGS = {
    "base-as-is": "Base as\nit is",
    "adapted-old-vocabulary": "Adapted,\nold vocab.",
    "extended-only": "Extended\nonly",
    "adapter": "Adapter",
}
INTERVAL_NOTE = (
    "95% intervals: bootstrap over test examples, bounds averaged over seeds; ± standard deviation "
    "over seeds."
)


# --- terminal -------------------------------------------------------------------------------


def summary_table(results: Results) -> Group:
    """The table at the end of a run, two lines a language, readable from 80 columns on.

    Sources first, then targets by falling score, averages, the answer in words, warnings.
    """
    summary = figures.summarise(results)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title=Text(results.recipe.get("name", ""), style="bold"),
    )
    table.add_column("Language", min_width=8, overflow="fold")
    table.add_column(
        f"{figures.metric_name(summary.metric)}\n95% interval",
        justify="right",
        no_wrap=True,
        min_width=12,
    )
    table.add_column("n", justify="right", no_wrap=True)
    for system in summary.baselines:
        title = NARROW_HEADINGS.get(system, figures.heading(system))
        table.add_column(title, justify="right", min_width=5, style="dim")
    table.add_column("Verdict", min_width=11)
    for group in (summary.sources, summary.targets):
        for index, row in enumerate(group):
            table.add_row(*_cells(row, summary), end_section=index == len(group) - 1)
    for over, label in _averages(summary):
        table.add_row(*_average_cells(over, label, summary))
    answer = Text.assemble(
        *((part.text, "bold" if part.strong else "") for part in figures.answer(summary))
    )
    blocks: list[RenderableType] = [table, answer, Text(INTERVAL_NOTE, style="dim")]
    blocks += _gains_table(results, summary)
    blocks += learning.table(results)
    blocks += by_translation.table(results)
    blocks += doubts.table(results)
    blocks += [Text.assemble(("! ", "bold yellow"), warning) for warning in results.warnings]
    return Group(*blocks)


def _gains_table(results: Results, summary: Summary) -> list[RenderableType]:
    """The adapter beside its controls, and what may be claimed; nothing where there are none."""
    found = gains.of(results, summary.metric)
    if found is None:
        return []
    title = Text(f"\nWhat it is due to: {figures.metric_name(summary.metric)}", style="bold")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, title=title)
    table.title_justify = "left"
    table.add_column("Target")
    for system in found.systems:
        table.add_column(GAIN_HEADINGS.get(system, system), justify="right")
    beside = "old vocab." if OLD_VOCABULARY in found.systems else "the base"
    table.add_column(f"gain over\n{beside}", justify="right")
    for row in found.rows:
        over = row.over_old or row.over_base
        table.add_row(
            "mean" if row.language == OVER_TARGETS else row.language,
            *(number(row.values.get(system)) for system in found.systems),
            MISSING if over is None else figures.interval_of_points(over),
        )
    return [table, *([Text(found.claim)] if found.claim else [])]


def _cells(row: LanguageRow, summary: Summary) -> list[RenderableType]:
    name = Text.assemble((row.language.name, "bold"), "\n", (row.language.code, "dim"))
    verdict = Text("source" if row.role == "source" else MISSING, style="dim")
    if row.verdict is not None:
        verdict = Text(row.verdict.verdict, style=VERDICTS[row.verdict.verdict][2])
    count = MISSING if row.n is None else str(row.n)
    return [
        name,
        _figure_text(row.adapter),
        count if row.split in ("", "test") else f"{count}\n{row.split}",
        *(
            number(found.value if (found := row.figures.get(system)) else None)
            for system in summary.baselines
        ),
        verdict,
    ]


def _figure_text(figure: Figure | None) -> Text:
    if figure is None:
        return Text(MISSING)
    spread = "" if figure.sd is None else f" ±{number(figure.sd)}"
    return Text.assemble(
        (number(figure.value), "bold"),
        (spread, "dim"),
        "\n",
        (f"{number(figure.low)}–{number(figure.high)}", "dim"),
    )


def _averages(summary: Summary) -> list[tuple[str, str]]:
    """(what an average is over, its heading) for the rows that exist and say something new."""
    labels = {
        "targets": f"Mean of {figures.plural(len(summary.targets), 'target')}",
    }
    if summary.sources:
        plural = "s" * (len(summary.sources) > 1)
        labels["source and targets"] = f"Mean with the source{plural}"
    if len(summary.sources) > 1:
        labels = {"source": f"Mean of {len(summary.sources)} sources", **labels}
    present = {over for over, _ in summary.averages}
    return [(over, label) for over, label in labels.items() if over in present]


def _average_cells(over: str, label: str, summary: Summary) -> list[RenderableType]:
    adapter = summary.averages.get((over, ADAPTER))
    shown = MISSING if adapter is None else number(adapter.mean)
    spread = "" if adapter is None or adapter.sd is None else f" ±{number(adapter.sd)}"
    return [
        Text(label.replace(" of ", " of\n").replace(" with ", " with\n"), style="bold"),
        Text.assemble((shown, "bold"), (spread, "dim")),
        "",
        *(
            number(found.mean if (found := summary.averages.get((over, system))) else None)
            for system in summary.baselines
        ),
        "",
    ]


# --- HTML -----------------------------------------------------------------------------------


def write_report(results: Results, path: Path) -> None:
    """Write `report.html`: one file that fetches nothing; the same results give the same bytes.

    Raises `OSError` when `path` cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("lowres"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (
        figures.number,
        figures.p_value,
        figures.signed,
        figures.whole,
        figures.duration,
        figures.energy,
        figures.metric_name,
        figures.heading,
        figures.interval_of_points,
    )
    environment.filters |= {function.__name__: function for function in formats}
    environment.filters["percent"] = _percent
    environment.filters["interval"] = served.interval
    environment.filters["code"] = _code
    environment.filters["system_class"] = charts.system_class
    page = environment.get_template("report.html.j2").render(**_view(results))
    # a lone surrogate in a data file must not cost the report
    path.write_bytes(page.encode("utf-8", "replace"))


def _code(said: str) -> Markup:
    """A sentence whose `commands` stand in backticks, as HTML."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(said))))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if math.isfinite(share) else MISSING


@dataclass(frozen=True)
class AverageBar:
    """A bar of the opening picture: a system's mean over targets."""

    system: str
    mean: float
    sd: float | None
    svg: Markup


@dataclass(frozen=True)
class MatrixRow:
    """A gold label: cells (count, share of the row, 0 to 1); recall None where it has none."""

    label: str
    cells: tuple[tuple[int, float], ...]
    recall: float | None


@dataclass(frozen=True)
class LanguageDetail:
    """All that is shown about one language on its own."""

    row: LanguageRow
    matrix: tuple[MatrixRow, ...]
    mistakes: tuple[Mistake, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class SeedLine:
    """A seed and its own mean over targets, whether it can be trusted or not."""

    record: SeedRecord
    targets_mean: float | None


def _view(results: Results) -> dict[str, Any]:
    summary = figures.summarise(results)
    rows = (*summary.sources, *summary.targets)
    source = summary.source_value
    groups = summary.verdicts()
    return {
        "results": results,
        "summary": summary,
        "answer": figures.answer(summary),
        "averages": _average_bars(summary),
        "average_rows": _averages(summary),
        "transferred": len(groups.get("transfers", ())),
        "judged": sum(map(len, groups.values())),
        "axis": charts.axis,
        "bars": [
            (row, charts.language_bars(row, summary, f"bars-{row.language.code}")) for row in rows
        ],
        "gaps": []
        if source is None
        else [
            (row, charts.gap_row(row, source, f"gap-{row.language.code}"))
            for row in summary.targets
        ],
        "curves": charts.curve_charts(results),
        "averaged": any(seed.best_step is None for seed in results.seeds),
        "details": [_detail(results, row) for row in rows],
        "seeds": [
            SeedLine(seed, _seed_mean(results, summary.metric, seed.seed)) for seed in results.seeds
        ],
        "gains": gains.of(results, summary.metric),
        "learning": learning.of(results.learning),
        "translations": by_translation.of(results),
        "translations_note": by_translation.NOTE,
        "symptom_lines": doubts.of(results.symptoms),
        "symptom_note": doubts.NOTE,
        "not_looked_for": doubts.not_looked_for(results),
        "gap_tables": served.every(results),
        "gap_note": served.NOTE,
        "heading_of_groups": GROUPS,
        "learning_charts": charts.learning_charts(results.learning),
        "names": {language.code: language for language in results.languages},
        "verdicts": VERDICTS,
        "statuses": figures.STATUSES,
        "other_averages": [a for a in results.averages if a.metric != summary.metric],
        "recipe": yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True, width=78),
        "missing": MISSING,
        "interval_note": INTERVAL_NOTE,
    }


def _average_bars(summary: Summary) -> list[AverageBar]:
    bars = []
    for system in summary.systems:
        average = summary.averages.get(("targets", system))
        if average is not None:
            title = f"{figures.heading(system)}: mean over targets"
            svg = charts.average_bar(system, average.mean, average.sd, f"mean-{system}", title)
            bars.append(AverageBar(system, average.mean, average.sd, svg))
    return bars


def _detail(results: Results, row: LanguageRow) -> LanguageDetail:
    code = row.language.code
    confusion = next((c for c in results.confusions if c.language == code), None)
    mistakes = [m for m in results.mistakes if m.language == code]
    return LanguageDetail(
        row=row,
        matrix=() if confusion is None else _matrix(confusion),
        mistakes=tuple(mistakes[:MAX_MISTAKES]),
        comparisons=tuple(c for c in results.comparisons if c.language == code),
    )


def _matrix(confusion: Confusion) -> tuple[MatrixRow, ...]:
    rows = []
    for index, (label, counts) in enumerate(zip(confusion.labels, confusion.counts, strict=True)):
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        rows.append(
            MatrixRow(
                label, tuple(zip(counts, shares, strict=True)), shares[index] if total else None
            )
        )
    return tuple(rows)


def _seed_mean(results: Results, metric: str, seed: int) -> float | None:
    """The seed's mean over targets, trusted or not: the table of seeds hides nothing."""
    values = [
        s.value
        for s in results.scores
        if (s.system, s.role, s.metric, s.seed) == (ADAPTER, "target", metric, seed)
        and math.isfinite(s.value)
    ]
    return fmean(values) if values else None
