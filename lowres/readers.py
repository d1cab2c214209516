"""Files to tables: every row with the line it came from, so that faults can be named.

CSV, TSV, JSON lines, Parquet, CoNLL, CoNLL-U (https://universaldependencies.org/format.html) and
IOB2 with comments. Text formats are not read through `datasets`, whose CSV loader merges rows
around an unbalanced quote without a word; Parquet is.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from lowres import quoting as quotes
from lowres import text_files
from lowres.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

Cell = str | list[str] | None
"""None: the row lacks this column."""

FORMAT_OF_SUFFIX: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".txt": "conll",
    ".bio": "conll",
    ".conllu": "conllu",
    ".iob2": "iob2",
}


@dataclass(frozen=True)
class Table:
    """Rows of equal width. `lines[i]` is where row i begins, counted from 1."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    lines: Sequence[int]
    notes: tuple[str, ...]
    source: str
    """The path, or `hub id@commit:config/split`."""
    unit: Literal["line", "row"] = "line"

    def where(self, row: int) -> str:
        """`file:line`, or `file row n` where the format has no lines."""
        at = self.lines[row]
        return f"{self.source}:{at}" if self.unit == "line" else f"{self.source} row {at}"


def read(path: Path, format: str, quoting: str) -> Table:
    """Read one file.

    `format` and `quoting` as in `recipe.DataSource`. A header without rows is a table without
    rows. Raises `DataError` for a file that is missing, empty, in another encoding, or has a row
    that does not fit.
    """
    kind = format if format != "auto" else _format_of(path)
    if kind == "parquet":
        return _parquet(path)
    text, notes = text_files.read_text(path)
    if kind in ("csv", "tsv"):
        return _delimited(path, text, notes, "," if kind == "csv" else "\t", quoting)
    reader: Callable[[Path, str, list[str]], Table] = {
        "jsonl": _jsonl,
        "conll": _conll,
        "conllu": _conllu,
        "iob2": _iob2,
    }[kind]
    return reader(path, text, notes)


def _format_of(path: Path) -> str:
    try:
        return FORMAT_OF_SUFFIX[path.suffix.lower()]
    except KeyError:
        raise DataError(
            f"{path}: the ending {path.suffix!r} says no format; set data.format "
            "(csv, tsv, jsonl, parquet, conll, conllu or iob2)"
        ) from None


def _delimited(path: Path, text: str, notes: list[str], delimiter: str, quoting: str) -> Table:
    if quoting == "auto":
        decision = quotes.decide(text, delimiter)
        mode: str = decision.mode
        notes += [decision.note] if decision.note else []
    else:
        mode = quoting
    records = (_quoted if mode == "csv" else _unquoted)(path, text, delimiter)
    _, columns = next(records)
    _check_header(path, columns)
    rows, lines = [], []
    for line, fields in records:
        if len(fields) != len(columns):
            raise DataError(
                f"{path}:{line}: {len(fields)} fields where the header has {len(columns)} "
                f"({', '.join(columns)}), read with quoting {mode}; mend the row, or set "
                f"data.quoting to {'none' if mode == 'csv' else 'csv'} if quotes are "
                f"{'letters' if mode == 'csv' else 'wrapped around fields'}"
            )
        rows.append(tuple(fields))
        lines.append(line)
    return Table(tuple(columns), rows, lines, tuple(notes), str(path))


def _check_header(path: Path, columns: list[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}:1: the header names {', '.join(map(repr, twice))} twice; rename one column"
        )


def _unquoted(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for line, content in enumerate(text.split("\n"), start=1):
        content = content.removesuffix("\r")
        # A line of delimiters is a row; one of spaces only is none.
        if content.strip(" "):
            yield line, content.split(delimiter)


def _quoted(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    # a field may be a whole article: what keeps quotes in bounds is `quoting.decide`
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}:{line}: a quoted field of the row that begins here is not closed or not "
                f"followed by a delimiter ({error}); double the quotes inside fields, or set "
                "data.quoting to none if quotes are letters"
            ) from None
        if fields:
            yield line, fields
        line = reader.line_num + 1


def _jsonl(path: Path, text: str, notes: list[str]) -> Table:
    records: list[dict[str, Any]] = []
    lines = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        record = _json(f"{path}:{line}", content)
        if not isinstance(record, dict):
            raise DataError(
                f"{path}:{line}: expected one JSON object a line, found a {type(record).__name__}; "
                "a list of objects becomes lines by: jq -c '.[]' FILE > NEW.jsonl"
            )
        records.append(record)
        lines.append(line)
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    rows = [tuple(_cell(record.get(name)) for name in columns) for record in records]
    return Table(columns, rows, lines, tuple(notes), str(path))


def _json(where: str, content: str) -> Any:
    try:
        record = json.loads(content)
        if "\\u" in content:
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, column {error.colno}"
    except UnicodeEncodeError:
        reason = "half a surrogate pair, such as \\ud800, is no character"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deep nesting
        reason = str(error).splitlines()[0]
    else:
        return record
    raise DataError(f"{where}: no JSON ({reason}); expected one JSON object a line")


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ["" if part is None else str(_cell(part)) for part in value]
    return json.dumps(value, ensure_ascii=False, default=str)


def _sentences(text: str) -> Iterator[list[tuple[int, str]]]:
    """Blocks of numbered lines between blank lines."""
    block: list[tuple[int, str]] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip(" \t\r"):
            block.append((line, content.removesuffix("\r")))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _conll(path: Path, text: str, notes: list[str]) -> Table:
    """`token SPACE tag` (or a tab); with more columns the first and the last are taken."""
    rows: list[tuple[Cell, ...]] = []
    lines = []
    delimiter, width, documents = "", 0, 0
    for block in _sentences(text):
        tokens, tags = [], []
        for line, content in block:
            content = content.rstrip(" \t")
            if content.startswith("-DOCSTART-"):
                documents += 1
                continue
            delimiter = delimiter or ("\t" if "\t" in content else " ")
            fields = content.split(delimiter)
            width = width or len(fields)
            if len(fields) != width or width < 2 or not fields[0]:
                raise DataError(
                    f"{path}:{line}: {len(fields)} fields, expected {max(width, 2)}: token and tag "
                    f"parted by one {'tab' if delimiter == chr(9) else 'space'}, a blank line "
                    "between sentences (data.format conll)"
                )
            tokens.append(fields[0])
            tags.append(fields[-1])
        if tokens:
            rows.append((tokens, tags))
            lines.append(block[0][0])
    if width > 2:
        notes.append(f"{width} columns: the first is the token, the last the tag")
    if documents:
        notes.append(f"{documents} -DOCSTART- lines left out")
    return Table(("tokens", "tags"), rows, lines, tuple(notes), str(path))


_SENT_ID = re.compile(r"#\s*sent_id\s*=\s*(\S.*?)\s*$")
_WORD = re.compile(r"[0-9]+")
_RANGE = re.compile(r"[0-9]+-[0-9]+")
_EMPTY_NODE = re.compile(r"[0-9]+\.[0-9]+")


def _conllu(path: Path, text: str, notes: list[str]) -> Table:
    return _indexed(path, text, notes, "conllu", columns=10, tag=3, name="upos")


def _iob2(path: Path, text: str, notes: list[str]) -> Table:
    return _indexed(path, text, notes, "iob2", columns=5, tag=2, name="tags")


def _indexed(
    path: Path, text: str, notes: list[str], format: str, columns: int, tag: int, name: str
) -> Table:
    """Tab-separated words with an index in front and `#` comments between.

    Multiword ranges (`3-4`) and empty nodes (`5.1`) are no words. A form may hold spaces or be `_`.
    """
    rows: list[tuple[Cell, ...]] = []
    lines = []
    ranges = empty = 0
    for block in _sentences(text):
        sent_id: str | None = None
        tokens: list[str] = []
        tags: list[str] = []
        for line, content in block:
            if content.startswith("#"):
                found = _SENT_ID.match(content)
                sent_id = found[1] if found else sent_id
                continue
            fields = content.split("\t")
            if len(fields) != columns:
                raise DataError(
                    f"{path}:{line}: {len(fields)} tab-separated fields, expected {columns} "
                    f"(data.format {format})"
                )
            if _WORD.fullmatch(fields[0]):
                if int(fields[0]) != len(tokens) + 1:
                    raise DataError(
                        f"{path}:{line}: word {fields[0]} where word {len(tokens) + 1} was "
                        "expected; is a blank line between sentences missing, or a word? "
                        f"(data.format {format})"
                    )
                tokens.append(fields[1])
                tags.append(fields[tag])
            elif _RANGE.fullmatch(fields[0]):
                ranges += 1
            elif _EMPTY_NODE.fullmatch(fields[0]):
                empty += 1
            else:
                raise DataError(
                    f"{path}:{line}: {fields[0]!r} is no word index (3, 3-4 or 5.1; "
                    f"data.format {format})"
                )
        if tokens:
            rows.append((sent_id, tokens, tags))
            lines.append(block[0][0])
    if ranges:
        notes.append(f"{ranges} multiword ranges skipped (their words are kept)")
    if empty:
        notes.append(f"{empty} empty nodes skipped")
    return Table(("id", "tokens", name), rows, lines, tuple(notes), str(path))


def _parquet(path: Path) -> Table:
    if not text_files.read_bytes(path).startswith(b"PAR1"):
        raise DataError(f"{path}: no Parquet file (it does not begin with PAR1); set data.format")
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    # A cache of its own: nothing stale is read, nothing is left behind.
    with TemporaryDirectory(prefix="lowres-parquet-") as cache:
        try:
            dataset = Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
        except (DatasetGenerationError, ValueError, OSError) as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise DataError(f"{path}: broken Parquet file: {reason}") from None
    return table_of(dataset, str(path))


def table_of(dataset: Dataset, source: str) -> Table:
    """A `datasets.Dataset` as a table: class numbers become their names, rows count from 1."""
    columns = tuple(dataset.column_names)
    values = [_decoded(dataset.features[name], dataset[name][:]) for name in columns]
    rows: list[tuple[Cell, ...]] = list(zip(*values, strict=True))
    return Table(columns, rows, range(1, len(rows) + 1), (), source, "row")


def _decoded(feature: Any, values: Sequence[Any]) -> list[Cell]:
    from datasets import ClassLabel

    inner = getattr(feature, "feature", None)
    if isinstance(feature, ClassLabel):
        return [_class_name(feature.names, value) for value in values]
    if isinstance(inner, ClassLabel):
        return [
            None if value is None else [_class_name(inner.names, part) or "" for part in value]
            for value in values
        ]
    return [_cell(value) for value in values]


def _class_name(names: Sequence[str], value: int | None) -> str | None:
    """-1 stands for a label that was held back."""
    return None if value is None or value < 0 else names[value]
