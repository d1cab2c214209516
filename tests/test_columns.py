from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lowres import columns
from lowres.columns import Part
from lowres.errors import DataError
from lowres.readers import Cell, Table
from lowres.recipe_data import Columns

TOPIC = ("text", "label")
PAIR = ("text", "text_pair", "label")
TAGS = ("tokens", "tags")


def part(
    header: str, rows: Sequence[tuple[Cell, ...]], fields: Sequence[str], **names: Any
) -> Part:
    table = Table(tuple(header.split()), rows, range(2, len(rows) + 2), (), "x.tsv")
    return columns.examples(table, fields, Columns(**names), "data", "swh_Latn", "test")


@pytest.mark.parametrize(
    ("header", "fields", "expected"),
    [
        ("index_id category text", TOPIC, {"id": "a", "label": "b", "text": "c"}),
        ("ID tweet label", TOPIC, {"id": "a", "text": "b", "label": "c"}),
        ("topic Sentence other", TOPIC, {"id": "test-1", "label": "a", "text": "b"}),
        (
            "premise hypothesis label text",
            PAIR,
            {"id": "test-1", "text": "a", "text_pair": "b", "label": "c"},
        ),
    ],
)
def test_columns_are_found_by_their_usual_names(
    header: str, fields: Sequence[str], expected: dict[str, str]
) -> None:
    row = tuple("abcd"[: len(header.split())])
    found = part(header, [row], fields).columns
    assert found == {name: [value] for name, value in expected.items()}


def test_named_columns_win_and_two_can_be_joined() -> None:
    rows = [("head", "body", "x", "1"), (" ", "body", "x", "2")]
    found = part("headline text topic key", rows, TOPIC, text="headline+text", id="key").columns
    assert found["text"] == ["head\nbody", "body"]
    assert found["id"] == ["1", "2"]
    # A column that has the plus in its name is that column.
    assert part("a+b label", [("t", "x")], TOPIC, text="a+b").columns["text"] == ["t"]


@pytest.mark.parametrize(
    ("header", "rows", "fields", "names", "message"),
    [
        ("body label", [], TOPIC, {}, "x.tsv: no column for text .*columns.text; .*body, label"),
        ("text label", [], TOPIC, {"label": "lable"}, "no column 'lable' .*label.*text, label"),
        ("text label", [], TOPIC, {"text": "head+text"}, "no column 'head'"),
        ("text label", [], TOPIC, {"id": "key"}, "no column 'key'"),
        ("text label", [("a", "b"), ("a", " ")], TOPIC, {}, "x.tsv:3: the label is empty"),
        ("text label", [("a", None)], TOPIC, {}, "x.tsv:2: no value for 'label'.*data.splits"),
        ("text label", [(["a"], "b")], TOPIC, {}, "x.tsv:2: 'text' .text. is a list, expect"),
        ("tokens tags", [("a", ["O"])], TAGS, {}, "is a text, expected a list of strings"),
        ("tokens tags", [(["a"], ["O", "O"])], TAGS, {}, "x.tsv:2: 1 tokens and 2 tags"),
        ("tokens tags", [([], [])], TAGS, {}, "x.tsv:2: 0 tokens and 0 tags"),
    ],
)
def test_faults_name_the_place(
    header: str, rows: Any, fields: Sequence[str], names: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        part(header, rows, fields, **names)
    assert "\n" not in str(caught.value)


def test_blank_texts_are_kept_and_counted() -> None:
    found = part("premise hypothesis label", [(" ", "b", "x"), ("a", "\u3000", "y")], PAIR)
    assert found.columns["text"] == [" ", "a"]
    assert found.notes == (
        "1 examples with a blank text, kept",
        "1 examples with a blank text_pair, kept",
    )


def test_repeated_ids_are_made_unique() -> None:
    rows = [(name, "t", "x") for name in ("a", "a", "a-2", "b", "a")]
    found = part("id text label", rows, TOPIC)
    assert found.columns["id"] == ["a", "a-3", "a-2", "b", "a-4"]
    assert found.notes == ("2 repeated ids made unique by a number at the end",)


def test_labels_are_stripped_and_texts_are_not() -> None:
    found = part("text label", [(" a ", " x ")], TOPIC).columns
    assert (found["text"], found["label"]) == ([" a "], ["x"])


def test_keeping_some_examples_keeps_their_places() -> None:
    kept = part("text label", [("a", "x"), ("b", "y"), ("c", "z")], TOPIC).keep([2, 0])
    assert kept.columns["text"] == ["c", "a"]
    assert [kept.where(i) for i in range(len(kept))] == ["x.tsv:4", "x.tsv:2"]
