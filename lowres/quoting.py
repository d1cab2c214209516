"""Whether a double quote in a CSV or TSV file wraps a field or is a letter, by the whole file.

RFC 4180 writers wrap a field that holds a quote, a delimiter or a newline and double the quotes
inside; tweet and NLI corpora are often written without any quoting. Reading the one as the other
leaves doubled quotes in the text, or silently merges rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Mode = Literal["csv", "none"]


@dataclass(frozen=True)
class Quoting:
    """How to read the file, and why (None where it holds no quote at all)."""

    mode: Mode
    note: str | None


@dataclass(frozen=True)
class _Fields:
    """What the fields that hold a quote look like."""

    wrapped: int = 0
    """Begin and end with a quote, quotes inside doubled."""
    broken: int = 0
    """Begin with a quote that nothing closes in this way."""
    bare: int = 0
    """Hold a quote but begin with another letter."""
    regular: bool = True
    """Read so, every row has as many fields as the header."""
    rows: int = 0


def decide(text: str, delimiter: str) -> Quoting:
    """`csv` if quotes balance and wrap whole fields throughout the file, else `none`.

    Where both readings give rows of the header's width, the one that merges no lines wins.
    """
    if '"' not in text:
        return Quoting("none", None)
    fields = _scan(text, delimiter)
    lines, lines_regular = _plain(text, delimiter)
    as_csv = fields.wrapped > 0 and fields.broken == 0 and fields.bare == 0 and fields.regular
    if as_csv and not (lines_regular and fields.rows < lines):
        return Quoting("csv", f"quoting decided: csv ({fields.wrapped} fields wrapped in quotes)")
    if not lines_regular and fields.wrapped > fields.broken:
        # Neither reading fits. Most quotes do wrap fields: the csv reader finds the bad line.
        return Quoting("csv", "quoting decided: csv (most quotes wrap whole fields)")
    literal = fields.wrapped + fields.broken + fields.bare
    return Quoting("none", f"quoting decided: none ({literal} fields hold quotes as letters)")


@cache
def _pattern(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    return re.compile(rf'(?:("(?:[^"]|"")*")(?=[{d}\r\n]|\Z)|([^{d}\n]*))({d}|\r?\n|\Z)')


def _scan(text: str, delimiter: str) -> _Fields:
    wrapped = broken = bare = rows = 0
    width = 1
    header: int | None = None
    regular = True
    at = 0
    pattern = _pattern(delimiter)
    while at < len(text):
        match = pattern.match(text, at)
        assert match is not None  # the pattern matches the empty field before any end
        quoted, plain, end = match.groups()
        if quoted is not None:
            wrapped += 1
        elif plain.startswith('"'):
            broken += 1
        elif '"' in plain:
            bare += 1
        at = match.end()
        if end == delimiter:
            width += 1
            continue
        blank = width == 1 and not (quoted or plain.strip())
        if not blank:
            header = width if header is None else header
            regular = regular and width == header
            rows += 1
        width = 1
    return _Fields(wrapped, broken, bare, regular, rows)


def _plain(text: str, delimiter: str) -> tuple[int, bool]:
    """Rows, and whether all have the header's width, when a quote is a letter."""
    widths = [line.count(delimiter) for line in text.split("\n") if line.strip()]
    return len(widths), len(set(widths)) <= 1
