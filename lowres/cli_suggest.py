"""`lowres suggest`: which sources and bases to try for a language, and what to do first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import BaseModelError, DataError, HubError, LowresError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from lowres.diagnose import Finding, Text
    from lowres.progress import Progress
    from lowres.suggest import Labelled, Suggestion

SHOWN = 10
"""Sources in the table; `--json` has all."""
FIGURES = frozenset(
    ("examples", "standing", "apart", "letters", "lines", "pieces a word", "English's", "unknown")
)
"""Columns of numbers."""


@guarded
def suggest(
    target: Annotated[str, typer.Option(help="Language to transfer to, e.g. xho_Latn.")],
    text: Annotated[
        Path | None, typer.Option(help="UTF-8 text of it, one sentence a line.")
    ] = None,
    labelled: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled examples of a possible source: zul_Latn=FILE, or a file in a folder "
            "of that name; again for more."
        ),
    ] = None,
    parallel: Annotated[
        list[str] | None,
        typer.Option(help="Translation of --text, line by line: zul_Latn=FILE; again for more."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification, pairs or tagging; chooses the record.")
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(help="A base's name, Hub id or folder; again to compare. Default: e5-small."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Rank source languages and bases for a target, with the reasons, and say what to do first."""
    from lowres import advice, corpus, languages, quiet
    from lowres import suggest as suggesting
    from lowres.diagnose import open_text
    from lowres.progress import Terminal

    code = languages.of_option("--target", target)
    names = base or ["e5-small"]
    _check_names(task, names)
    opened = open_text(text, code) if text else None
    files = [suggesting.labelled(given) for given in labelled or []]
    _check_distinct(files)
    progress = Terminal()
    quiet.libraries()
    findings = _findings(names, opened)
    views = suggesting.base_views(code, names, findings)
    retrieved = _retrieved(views[0].name, opened, parallel or [], progress)
    ranked = suggesting.sources(code, task, opened, files, retrieved)
    words = corpus.words(corpus.sample(opened.path)) if opened else None
    best = views[0]
    steps = advice.steps(
        code, best.name, best.finding, best.seen, words, [source.code for source in ranked]
    )
    notes = [
        *(opened.notes if opened else ()),
        *suggesting.notes(code, opened, files, task),
        *_ready(code, [view.name for view in views]),
    ]
    said = suggesting.Suggestion(code, task, ranked, tuple(views), steps, tuple(notes))
    if as_json:
        typer.echo(json.dumps(suggesting.plain(said), indent=1, ensure_ascii=False))
    else:
        _show(said)


def _check_names(task: str | None, bases_: Sequence[str]) -> None:
    from lowres import bases, registry

    known = registry.names("tasks")
    if task is not None and task not in known:
        raise LowresError(f"--task: unknown {task!r}{nearest(task, known)} ({', '.join(known)})")
    for name in bases_:
        _by_option(lambda name=name: bases.check_name(name))


def _ready(code: str, bases: Sequence[str]) -> list[str]:
    """What travels with lowres for a language: a recipe, pieces for XLM-R's vocabulary."""
    from lowres import prebuilt, recipe_loading
    from lowres.suggest import XLMR_BASES

    said = []
    if code in recipe_loading.shipped():
        said.append(f"a recipe for {code} travels with lowres: lowres show {code}")
    pieces = f"xlmr-{code}"
    if pieces in prebuilt.names() and XLMR_BASES.intersection(bases):
        said.append(
            f"so do pieces for it: tokenizer.extend.prebuilt: [{pieces}]"
            if said
            else f"pieces for {code} travel with lowres: tokenizer.extend.prebuilt: [{pieces}]"
        )
    return said


def _by_option(look: Any) -> Any:
    """What a function returns; its errors about `base.name`, a recipe's key, name the option."""
    try:
        return look()
    except (BaseModelError, HubError) as error:
        said = str(error).replace("base.name: ", "--base: ").replace("base.name", "--base")
        raise type(error)(said) from error


def _check_distinct(files: Sequence[Labelled]) -> None:
    codes = [file.code for file in files]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise DataError(f"--labelled: {', '.join(twice)} given twice; join the files")


def _findings(names: Sequence[str], opened: Text | None) -> Mapping[str, Finding]:
    from lowres import bases, model
    from lowres import suggest as suggesting

    if opened is None:
        return {}
    return {
        name: suggesting.look(
            name, model.load_tokenizer(_by_option(lambda name=name: bases.locate(name))), opened
        )
        for name in names
    }


def _retrieved(
    base: str, opened: Text | None, parallel: Sequence[str], progress: Progress
) -> dict[str, float]:
    """Source -> share of parallel lines that find each other in the base."""
    if not parallel:
        return {}
    if opened is None:
        raise LowresError("--parallel: its lines translate those of --text; give --text too")
    from lowres import bases, corpus, hardware, languages, retrieval

    encoder = retrieval.Encoder(_by_option(lambda: bases.locate(base)), hardware.detect())
    found = {}
    for given in parallel:
        code, mark, name = given.partition("=")
        if not mark:
            raise LowresError(f"--parallel {given}: write whose it is: --parallel zul_Latn=FILE")
        pairs = corpus.pairs(opened.path, Path(name), "--text", "--parallel").pairs
        chosen = [pairs[index] for index in retrieval.spread(len(pairs))]
        with progress.bar(f"parallel lines, {code}", 2 * len(chosen)) as advance:
            mine, theirs = (
                encoder.vectors([pair[side] for pair in chosen], advance) for side in (0, 1)
            )
        found[languages.of_option("--parallel", code)] = retrieval.accuracy(mine, theirs)
    return found


def _show(said: Suggestion) -> None:
    from rich.console import Console

    from lowres import uriel
    from lowres.languages import describe

    console = Console()
    plain: Any = {"highlight": False, "markup": False, "soft_wrap": True}
    family = uriel.family(said.target)
    head = f"{describe(said.target).name} ({said.target})" + (f", {family}" if family else "")
    console.print(head, style="bold", **plain)
    if said.sources:
        console.print(_table(_source_rows(said)))
    left = len(said.sources) - SHOWN
    if left > 0:
        console.print(f"{left} more sources: --json", style="dim", **plain)
    for line in _legend(said):
        console.print(line, style="dim", **plain)
    console.print(_table(_base_rows(said)))
    console.print(f"seen: whether its pretraining had {said.target}", style="dim", **plain)
    for number, step in enumerate(said.steps, 1):
        console.print(f"{number}. {step.word}: {step.why}", **plain)
        console.print(f"   {step.how}", style="dim", **plain)
    for note in said.notes:
        console.print(f"note: {note}", style="dim", **plain)


def _table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with their place before them; a column that is empty in all of them is left out."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    for name in columns:
        justify: Any = "right" if name in FIGURES else "left"
        table.add_column(name, justify=justify, no_wrap=name not in ("source", "base"))
    for place, row in enumerate(rows, 1):
        table.add_row(str(place), *(escape(row[name]) for name in columns))
    return table


def _source_rows(said: Suggestion) -> list[dict[str, str]]:
    from lowres import uriel
    from lowres.languages import describe

    own, script = uriel.family(said.target), said.target[-4:]
    rows = []
    for source in said.sources[:SHOWN]:
        family = source.family or ""
        measured, apart, shared = source.measured, source.distances.apart, source.shared
        known: dict[str, float | None] = {
            "examples": source.examples,
            "standing": None if measured is None else measured.standing,
            "apart": apart,
            "letters": None if shared is None else shared.letters,
            "lines": source.retrieval,
        }
        figures = {name: _figure(name, value) for name, value in known.items()}
        rows.append(
            {
                "source": f"{describe(source.code).name} ({source.code})",
                **figures,
                "family": "the same" if family and family == own else family,
                "script": source.code[-4:] if source.code[-4:] != script else "",
            }
        )
    return rows


def _base_rows(said: Suggestion) -> list[dict[str, str]]:
    seen = {True: "yes", False: "no", None: "not known"}
    rows = []
    for view in said.bases:
        row = {"base": view.name, "seen": seen[view.seen]}
        found = view.finding
        verdict = english = pieces = unknown = ""
        if found is not None:
            verdict, m = found.verdict.word, found.measured
            unknown = f"{m.unknown_share:.1%}"
            if m.fertility is not None and found.base.english.fertility is not None:
                pieces, english = f"{m.fertility:.2f}", f"{found.base.english.fertility:.2f}"
        figures = {"pieces a word": pieces, "English's": english, "unknown": unknown}
        rows.append({**row, "tokenizer": verdict, **figures})
    return rows


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "examples":
        return f"{value:,}"
    return f"{value:.0%}" if name == "lines" else f"{value:.2f}"


def _legend(said: Suggestion) -> list[str]:
    """What the columns that are there say, a line each."""
    from lowres import record
    from lowres.languages import describe

    measured = [s.measured for s in said.sources if s.measured is not None]
    lines = []
    if measured:
        # what a source is nearest to may be itself; most of them have the target's own nearest
        near = Counter((m.nearest, m.distance) for m in measured).most_common(1)[0][0]
        code, distance = near
        which = ", all alike"
        if distance is not None:
            far = ", and that is not near: take the order as a guess"
            which = f", near ones first; the nearest is {describe(code).name}"
            which += far if distance >= record.FAR else ""
        tables = {name for m in measured for name in m.tables}
        what = "; ".join(table.what for table in record.tables() if table.name in tables)
        lines.append(
            f"standing: how it did for {max(m.targets for m in measured)} targets that were "
            f"measured ({what}), 1 the best source and 0 the worst{which}"
        )
    if any(source.distances.apart is not None for source in said.sources):
        lines.append("apart: in family and place, 0 the same and 1 nothing in common")
    if any(source.shared for source in said.sources):
        lines.append("letters: how alike text and examples are in what words are made of, of 1")
    if any(source.retrieval is not None for source in said.sources):
        lines.append(f"lines: share of parallel lines that find each other in {said.bases[0].name}")
    return lines
