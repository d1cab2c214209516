"""Tables to examples: which column holds what, and one canonical form for every data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowres.errors import DataError
from lowres.readers import Cell, Table
from lowres.recipe_data import Columns

USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "index_id", "sent_id", "idx", "guid", "uid", "example_id"),
    "text": ("text", "sentence", "tweet", "content", "review", "premise", "sentence1"),
    "text_pair": ("text_pair", "hypothesis", "sentence2"),
    "label": ("label", "category", "labels", "topic", "sentiment", "class", "gold_label"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "upos", "pos_tags", "labels"),
}
PAIR_TEXT = ("premise", "sentence1", "text")
"""In a pair the first text is the premise, even beside a column called text."""
JOIN = "+"
TEXTS = ("text", "text_pair")


@dataclass(frozen=True)
class Part:
    """One split of one language. `columns`: id and the task's fields, all of one length.

    `rows[i]` is the row of `table` that example i came from.
    """

    language: str
    split: str
    columns: Mapping[str, list[Any]]
    table: Table
    rows: Sequence[int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, example: int) -> str:
        """`file:line` of one example."""
        return self.table.where(self.rows[example])

    def keep(self, chosen: Sequence[int]) -> Part:
        """Only these examples, in this order."""
        columns = {name: [values[i] for i in chosen] for name, values in self.columns.items()}
        return replace(self, columns=columns, rows=[self.rows[i] for i in chosen])

    def noted(self, *notes: str) -> Part:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


def examples(
    table: Table, fields: Sequence[str], names: Columns, key: str, language: str, split: str
) -> Part:
    """Canonical columns of a table.

    Raises `DataError` for a column that is not there, and for a row without text, label, or with
    another number of tags than tokens.
    """
    columns: dict[str, list[Any]] = {"id": _ids(table, names, key, split)}
    notes = list(table.notes)
    for field in fields:
        parts = located(table, field, fields, names, key)
        columns[field] = _values(table, field, parts)
    if "tags" in fields:
        _check_lengths(table, columns["tokens"], columns["tags"])
    for field in TEXTS:
        blank = sum(1 for value in columns.get(field, ()) if not value.strip())
        if blank:
            notes.append(f"{blank} examples with a blank {field}, kept")
    columns["id"], repeated = _unique(columns["id"])
    if repeated:
        notes.append(f"{repeated} repeated ids made unique by a number at the end")
    return Part(language, split, columns, table, range(len(table.rows)), tuple(notes))


def located(table: Table, field: str, fields: Sequence[str], names: Columns, key: str) -> list[int]:
    """Positions of the columns that make up a field (two where the recipe joins them)."""
    given: str | None = getattr(names, field)
    present = ", ".join(table.columns) or "none"
    if given is not None:
        wanted = [given] if given in table.columns else given.split(JOIN)
        for name in wanted:
            if name not in table.columns:
                raise DataError(
                    f"{table.source}: no column {name!r} ({key}.columns.{field}); "
                    f"the columns are: {present}"
                )
        return [table.columns.index(name) for name in wanted]
    usual = PAIR_TEXT if field == "text" and "text_pair" in fields else USUAL[field]
    lowered = [name.lower() for name in table.columns]
    for name in usual:
        if name in lowered:
            return [lowered.index(name)]
    raise DataError(
        f"{table.source}: no column for {field} (looked for {', '.join(usual)}); "
        f"name it in {key}.columns.{field}; the columns are: {present}"
    )


def _values(table: Table, field: str, parts: Sequence[int]) -> list[Any]:
    wants_list = field in ("tokens", "tags")
    values: list[Any] = []
    for index, row in enumerate(table.rows):
        cells: list[Cell] = [row[part] for part in parts]
        kinds = {None if cell is None else isinstance(cell, list) for cell in cells}
        if kinds != {wants_list}:
            raise DataError(_misfit(table, index, field, parts, cells))
        if wants_list:
            values.append(cells[0])
        elif field == "label":
            label = str(cells[0]).strip()
            if not label:
                raise DataError(f"{table.where(index)}: the label is empty; expected a name")
            values.append(label)
        elif len(cells) > 1:
            values.append("\n".join(str(cell) for cell in cells if cell and str(cell).strip()))
        else:
            values.append(cells[0])
    return values


def _misfit(
    table: Table, index: int, field: str, parts: Sequence[int], cells: Sequence[Cell]
) -> str:
    names = JOIN.join(table.columns[part] for part in parts)
    if None in cells:
        hidden = "; are this split's labels held back? set data.splits" if field == "label" else ""
        return f"{table.where(index)}: no value for {names!r} ({field}){hidden}"
    found = "a list" if isinstance(cells[0], list) else "a text"
    wanted = "a list of strings" if field in ("tokens", "tags") else "a text"
    return f"{table.where(index)}: {names!r} ({field}) is {found}, expected {wanted}"


def _check_lengths(table: Table, tokens: list[list[str]], tags: list[list[str]]) -> None:
    for index, (words, marks) in enumerate(zip(tokens, tags, strict=True)):
        if len(words) != len(marks) or not words:
            raise DataError(
                f"{table.where(index)}: {len(words)} tokens and {len(marks)} tags; "
                "expected one tag a token and at least one token"
            )


def _ids(table: Table, names: Columns, key: str, split: str) -> list[str]:
    """The data set's ids; rows without one are called by split and row."""
    position: int | None = None
    lowered = [name.lower() for name in table.columns]
    if names.id is not None:
        position = located(table, "id", (), names, key)[0]
    else:
        position = next((lowered.index(name) for name in USUAL["id"] if name in lowered), None)
    ids = []
    for number, row in enumerate(table.rows, start=1):
        cell = None if position is None else row[position]
        ids.append(cell.strip() if isinstance(cell, str) and cell.strip() else f"{split}-{number}")
    return ids


def _unique(ids: list[str]) -> tuple[list[str], int]:
    """The second `a` becomes `a-2`, unless the data set has an `a-2` of its own."""
    taken = set(ids)
    if len(taken) == len(ids):
        return ids, 0
    seen: Counter[str] = Counter()
    made = []
    repeated = 0
    for name in ids:
        seen[name] += 1
        unique = name
        if seen[name] > 1:
            repeated += 1
            while (unique := f"{name}-{seen[name]}") in taken:
                seen[name] += 1
            taken.add(unique)
        made.append(unique)
    return made, repeated
