"""`lowres tokenizer …`: look at the tokenizers of bases, and give them what they lack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowres.cli_guard import guarded
from lowres.errors import BaseModelError, HubError, LowresError

if TYPE_CHECKING:
    from rich.table import Table

    from lowres.diagnose import Finding
    from lowres.fertility import Measured
    from lowres.progress import Progress

BAR_FROM_BYTES = 10_000_000
"""Smaller texts take a few seconds."""

app = typer.Typer(
    help="Look at the tokenizers of bases, and give them the pieces that a language lacks.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def _bases(begun: str) -> list[str]:
    from lowres.bases import ROWS

    return [name for name in ROWS if name.startswith(begun)]


@app.command()
@guarded
def diagnose(
    base: Annotated[
        list[str],
        typer.Option(help="A base's name, Hub id or folder; give it again to compare."),
    ],
    text: Annotated[
        list[Path], typer.Option(help="UTF-8 text, one sentence a line; may be given again.")
    ],
    lang: Annotated[
        list[str] | None,
        typer.Option(help="Language of the text, e.g. yor_Latn: one for all, or one a text."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Say how a base's tokenizer serves a text: fine, extend, replace, or script unknown.

    Beside every figure stands the same tokenizer's on English.
    """
    from lowres import api, bases, quiet
    from lowres.diagnose import open_text, plain
    from lowres.progress import Terminal

    for name in base:
        _by_option(lambda name=name: bases.check_name(name))
    texts = [
        open_text(path, language)
        for path, language in zip(text, _languages(lang, len(text)), strict=True)
    ]
    progress = Terminal()
    for note in (note for opened in texts for note in opened.notes):
        progress.say(f"note: {note}")
    quiet.libraries()
    findings = []
    for name in base:
        ready = _by_option(lambda name=name: api.open_base(name))
        for opened in texts:
            findings.append(_examined(ready, opened, progress))
    if as_json:
        typer.echo(json.dumps(plain(findings), indent=1, ensure_ascii=False))
    else:
        _show(findings)


def _languages(given: list[str] | None, texts: int) -> list[str | None]:
    """The language of each text, in the form of FLORES."""
    from lowres.languages import of_option

    if not given:
        return [None] * texts
    if len(given) not in (1, texts):
        raise LowresError(
            f"--lang: given {len(given)} times for {texts} texts; give it once, or once a --text"
        )
    known: list[str | None] = [of_option("--lang", code) for code in given]
    return known if len(known) == texts else known * texts


def _by_option(look: Any) -> Any:
    """What a function returns; its errors about `base.name`, a recipe's key, name the option."""
    try:
        return look()
    except (BaseModelError, HubError) as error:
        said = str(error).replace("base.name: ", "--base: ").replace("base.name", "--base")
        raise type(error)(said) from error


def _examined(ready: Any, opened: Any, terminal: Progress) -> Finding:
    from lowres.diagnose import examine
    from lowres.progress import Silent

    size = opened.path.stat().st_size
    progress = Silent() if size < BAR_FROM_BYTES else terminal
    with progress.bar(f"{ready.name}, {opened.path.name}", size) as advance:
        found = examine(ready, opened, advance)
    for note in found.measured.notes:
        terminal.say(f"note: {opened.path.name}: {note}")
    return found


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console

    from lowres.diagnose import RULES

    console = Console()
    plain: Any = {"highlight": False, "markup": False, "soft_wrap": True}
    for path in dict.fromkeys(found.text.path for found in findings):
        of_text = [found for found in findings if found.text.path == path]
        console.print(_title(of_text[0]), style="bold", **plain)
        console.print(_table(of_text))
        for found in of_text:
            for line in _lines(found):
                console.print(line, **plain)
        console.print()
    console.print(f"In brackets: the same tokenizer on English. {RULES}", **plain)


def _title(found: Finding) -> str:
    text, m = found.text, found.measured
    words = f", {m.words:,} words" if m.words is not None else ""
    language = text.language or f"letters: {text.script}"
    return f"{text.path.name} ({language}; {m.lines:,} lines{words}, {m.bytes:,} bytes)"


def _table(findings: Sequence[Finding]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("")
    for found in findings:
        shown.add_column(escape(found.base.name), justify="right")
    rows = [_rows(found) for found in findings]
    for label in rows[0]:
        shown.add_row(label, *(row[label] for row in rows))
    shown.add_row("verdict", *(f"[bold]{found.verdict.word}[/]" for found in findings))
    return shown


def _rows(found: Finding) -> dict[str, str]:
    m, e, dead = found.measured, found.base.english, found.base.unreachable

    def both(figure: str, form: str) -> str:
        return f"{_form(m, figure, form)} ({_form(e, figure, form)})"

    return {
        "pieces a word": both("fertility", ".2f"),
        "pieces a character": both("pieces_a_character", ".2f"),
        "bytes a piece": both("bytes_a_piece", ".2f"),
        "unknown pieces": both("unknown_share", ".2%"),
        "words with an unknown piece": both("words_unknown", ".1%"),
        "words kept whole": both("words_whole", ".1%"),
        "pieces a line, 95% have at most": f"{m.tokens_p95:,}",
        "letters and marks dropped": both("lost", ".1%"),
        "upper case": "lowered" if found.base.lower_cases else "kept",
        "unreachable pieces": "-" if dead is None else f"{dead.count:,} of {dead.vocabulary:,}",
    }


def _form(measured: Measured, figure: str, form: str) -> str:
    value = getattr(measured, figure)
    return "-" if value is None else format(value, form)


def _lines(found: Finding) -> list[str]:
    said = found.verdict
    lines = [f"{found.base.name}: {said.word}: {said.reason}; {said.advice}"]
    if found.measured.longest:
        splits = ", ".join(f"{s.word} = {' '.join(s.pieces)}" for s in found.measured.longest)
        lines.append(f"  longest splits: {splits}")
    if found.measured.with_unknown:
        lines.append(f"  words with an unknown piece: {', '.join(found.measured.with_unknown)}")
    return lines


@app.command()
@guarded
def extend(
    base: Annotated[str, typer.Option(help="A base's name, Hub id or folder.")],
    text: Annotated[
        list[Path], typer.Option(help="UTF-8 text, one sentence a line; again for more languages.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; AutoTokenizer loads it.")],
    lang: Annotated[
        list[str] | None,
        typer.Option(help="Language of each text; default: its file name (tzm_Tfng.txt)."),
    ] = None,
    pieces: Annotated[str, typer.Option(help="How many pieces, or auto.")] = "auto",
    translation: Annotated[
        list[Path] | None,
        typer.Option(help="Line-by-line translation, one for all texts or one each."),
    ] = None,
    lexicon: Annotated[
        list[Path] | None, typer.Option(help="Word list: translation, tab, word; one a text.")
    ] = None,
    init: Annotated[str, typer.Option(help="How rows start: auto, align, focus, mean …")] = "auto",
    keep: Annotated[
        list[str] | None, typer.Option(help="Text of a language whose segmentation must stay.")
    ] = None,
    held_out: Annotated[int, typer.Option(help="Lines at the end kept for measuring.")] = 300,
) -> None:
    """Add pieces to the base's own tokenizer model, and start a row of embeddings for each."""
    from lowres import api, bases, quiet, text_options
    from lowres.interrupts import Presses
    from lowres.progress import Terminal

    _by_option(lambda: bases.check_name(base))
    options = text_options.extend(pieces, init, keep or [])
    described = text_options.text(text, lang, translation, lexicon, held_out)
    presses = Presses()
    progress = Terminal(presses.check)
    quiet.libraries()
    # SIGTERM too takes away what is half written
    with presses.watched(), text_options.named_as_options():
        found = api.write_extension(base, options, described, out, progress)
    _show_extension(found)
    typer.echo(f"{out}: AutoTokenizer.from_pretrained({str(out)!r}) loads it", err=True)


@app.command(name="ls")
@guarded
def list_extensions(
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """List the extensions that come with lowres; `tokenizer.extend.prebuilt` names them."""
    from lowres import prebuilt

    rows = prebuilt.rows()
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = ("name", "pieces", "held-out lines, pieces", "unknown", "changed elsewhere")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in shown:
        # the name is what one copies from here: it stays whole, whatever else has to wrap
        is_name = heading == "name"
        lines = heading.replace("lines, ", "lines,\n").replace("changed ", "changed\n")
        table.add_column(lines, no_wrap=is_name, justify="left" if is_name else "right")
    for row in rows:
        table.add_row(*(str(row[heading]) for heading in shown))
    Console().print(table)
    typer.echo(
        "for the vocabulary of XLM-R; changed elsewhere: the language of which most sentences of "
        "SIB-200 get other pieces, dev and test; all of them, and licences: --json"
    )


def _show_extension(found: Any) -> None:
    """Fertility before and after, the curve behind `auto`, and what changed elsewhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lowres import extension

    console = Console()
    title = f"{len(found.pieces):,} new pieces ({found.chosen}), rows by {found.init}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("held-out lines", "n", "pieces", "unknown pieces", "pieces saved"):
        table.add_column(heading, justify="left" if heading == "held-out lines" else "right")
    for row in found.languages:
        table.add_row(
            row.language,
            str(row.n),
            row.in_words(),
            f"{row.unknown_before:.2%} -> {row.unknown_after:.3%}",
            f"{1 - row.pieces_after / max(1, row.pieces_before):.1%}",
        )
    console.print(table)
    if any(row.unknown_before > 0.01 for row in found.languages):
        console.print(
            "One unknown piece stood for a whole word there. Its letters are more pieces, and they "
            "can be read."
        )
    for line in extension.in_words(found):
        console.print(line, highlight=False, soft_wrap=True)
