from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import quoting, readers
from lowres.errors import DataError

HEADER = "label\ttext\n"


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_quoted_fields_with_newlines_keep_the_line_they_begin_on(tmp_path: Path) -> None:
    text = 'id,text,label\n1,"one, two\n\n""three""",a\n2,plain,b\n3,,c\n'
    table = readers.read(written(tmp_path, "x.csv", text), "auto", "auto")
    assert table.columns == ("id", "text", "label")
    assert table.rows == [
        ("1", 'one, two\n\n"three"', "a"),
        ("2", "plain", "b"),
        ("3", "", "c"),
    ]
    assert list(table.lines) == [2, 5, 6]
    assert table.where(1) == f"{tmp_path / 'x.csv'}:5"
    assert table.notes == ("quoting decided: csv (1 fields wrapped in quotes)",)


@pytest.mark.parametrize("value", ["null", "NA", "nan", "", " ", "\ufeff", "a\u2028b", "\x85"])
def test_no_value_is_special(tmp_path: Path, value: str) -> None:
    table = readers.read(written(tmp_path, "x.tsv", f"{HEADER}a\t{value}\n"), "auto", "auto")
    assert table.rows == [("a", value)]


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ('a\t"wrapped ""and"" doubled"\n', "csv"),
        ('a\t"two\nlines"\n', "csv"),
        ('a\t""Ubu ndi single sans kintu""\n', "none"),
        ('a\tunbalanced " here\n', "none"),
        ('a\t"opened\nb\tand closed"\n', "none"),  # merging would lose a row and still look whole
        ('a\t"whole"\nb\tsaid "so"\n', "none"),
        ('a\t"\nb\t"\n', "none"),
    ],
)
def test_quoting_is_decided_on_the_whole_file(body: str, mode: str) -> None:
    decision = quoting.decide(HEADER + body, "\t")
    assert decision.mode == mode
    assert f"quoting decided: {mode}" in str(decision.note)


def test_a_file_without_quotes_needs_no_note() -> None:
    assert quoting.decide(HEADER, "\t").note is None


@given(
    st.lists(
        st.tuples(*[st.text(st.sampled_from('ab "\t\n'), max_size=8)] * 2), min_size=1, max_size=6
    )
)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str]]) -> None:
    """Whatever the writer quoted; a file that has no wrapped field reads the same both ways."""
    import csv
    import io

    sink = io.StringIO()
    writer = csv.writer(sink, delimiter="\t", lineterminator="\n")
    writer.writerow(("label", "text"))
    writer.writerows(rows)
    text = sink.getvalue()
    assert [fields for _, fields in readers._quoted(Path("x"), text, "\t")][1:] == [
        list(row) for row in rows
    ]


@given(
    st.lists(st.text(st.sampled_from('ab" '), max_size=8).filter(str.strip), min_size=1, max_size=6)
)
def test_no_row_is_lost_where_a_line_is_a_row(texts: list[str]) -> None:
    text = HEADER + "".join(f"a\t{field}\n" for field in texts)
    mode = quoting.decide(text, "\t").mode
    reader = readers._quoted if mode == "csv" else readers._unquoted
    assert len(list(reader(Path("x"), text, "\t"))) == len(texts) + 1


@pytest.mark.parametrize(
    ("name", "content", "quoting", "message"),
    [
        ("x.tsv", "label\ttext\na\tb\na\tb\tc\n", "auto", "x.tsv:3: 3 fields where the head"),
        ("x.tsv", 'label\ttext\na\t"b\nc"\na\n', "auto", "x.tsv:4: 1 fields"),
        ("x.tsv", 'label\ttext\na\tb\nc\t"open\nd\te\n', "csv", "x.tsv:3: a quoted field"),
        ("x.csv", 'a,b\n1,"x"y\n', "csv", "x.csv:2: a quoted field"),
        ("x.csv", "a,a\n1,2\n", "auto", "x.csv:1: the header names 'a' twice"),
        ("x.tsv", "", "auto", "x.tsv: the file is empty"),
        ("x.tsv", b"\xef\xbb\xbf\n", "auto", "x.tsv: the file is empty"),
        ("x.tsv", b"label\ttext\na\tb\na\tcaf\xe9\n", "auto", ":3: not UTF-8 at byte offset 20"),
        ("x.tsv", "label\ttext\n".encode("utf-16"), "auto", "is UTF-16"),
        ("x.tsv", "text\tlabel\na\0b\tc\n", "auto", "x.tsv:2: holds a NUL byte"),
        ("x.tsv", "text\tlabel\na\tb\n".encode("utf-16-le"), "auto", "without its mark"),
        ("x.tsv", "text\tlabel\ra\tb\r", "auto", "bare carriage return"),
        ("x.tsv", "a\ta\nb\tc\n", "auto", "x.tsv:1: the header names 'a' twice; rename"),
        ("x.jsonl", '{"a": 1}\n{"a": \n', "auto", "x.jsonl:2: no JSON"),
        ("x.jsonl", '{"a": "\\ud800"}\n', "auto", "x.jsonl:1: no JSON .half a surrogate"),
        ("x.jsonl", f'{{"a": 1}}\n{{"a": {"1" * 6000}}}\n', "auto", "x.jsonl:2: no JSON .Exceeds"),
        ("x.jsonl", "[" * 200_000, "auto", "x.jsonl:1: no JSON .maximum recursion"),
        ("x.jsonl", "\n[1]\n", "auto", "x.jsonl:2: expected one JSON object a line, found a list"),
        ("x.txt", "a O\nb\n", "auto", "x.txt:2: 1 fields, expected 2"),
        ("x.txt", "a O\nb c O\n", "auto", "x.txt:2: 3 fields, expected 2"),
        ("x.txt", "word\n", "auto", "x.txt:1: 1 fields, expected 2"),
        ("x.txt", "a O\n O\n", "auto", "x.txt:2: 2 fields, expected 2"),
        ("x.conllu", "1\ta\t_\tX\n", "auto", "x.conllu:1: 4 tab-separated fields, expected 10"),
        ("x.iob2", "1\ta\tO\t-\t-\n1\tb\tO\t-\t-\n", "auto", "x.iob2:2: word 1 where word 2"),
        ("x.iob2", "2\ta\tO\t-\t-\n", "auto", "x.iob2:1: word 2 where word 1 was expected"),
        ("x.iob2", "# c\nx\ta\tO\t-\t-\n", "auto", "x.iob2:2: 'x' is no word index"),
        ("x.parquet", "nothing", "auto", "x.parquet: no Parquet file"),
        ("x.parquet", "PAR1 and then nothing", "auto", "x.parquet: broken Parquet file"),
        ("x.docx", "a", "auto", "the ending '.docx' says no format"),
    ],
)
def test_faults_name_the_place(
    tmp_path: Path, name: str, content: str | bytes, quoting: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        readers.read(written(tmp_path, name, content), "auto", quoting)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        readers.read(tmp_path / "x.tsv", "auto", "auto")
    with pytest.raises(DataError, match="cannot be read"):
        readers.read(tmp_path, "tsv", "auto")


def test_a_header_without_rows_is_a_table_without_rows(tmp_path: Path) -> None:
    table = readers.read(written(tmp_path, "x.tsv", "tweet\tlabel"), "auto", "auto")
    assert table.columns == ("tweet", "label")
    assert list(table.rows) == []


def test_a_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbflabel\ttext\r\na\tb\r\n\r\n"
    table = readers.read(written(tmp_path, "x.tsv", content), "auto", "auto")
    assert table.columns == ("label", "text")
    assert table.rows == [("a", "b")]
    assert table.notes == ("byte-order mark at the start left out",)


def test_json_lines(tmp_path: Path) -> None:
    content = '{"id": 7, "tokens": ["a", 1], "x": null}\n\n{"id": true, "late": {"k": "ẹ"}}\n'
    table = readers.read(written(tmp_path, "x.jsonl", content), "auto", "auto")
    assert table.columns == ("id", "tokens", "x", "late")
    assert table.rows == [("7", ["a", "1"], None, None), ("true", None, None, '{"k": "ẹ"}')]
    assert list(table.lines) == [1, 3]


def test_conll(tmp_path: Path) -> None:
    content = '-DOCSTART- O\n\n# O\n" O\n\n\n\u00a0 O\nAli B-PER\n   \nx O'
    table = readers.read(written(tmp_path, "x.txt", content), "auto", "auto")
    assert table.columns == ("tokens", "tags")
    assert table.rows == [
        (["#", '"'], ["O", "O"]),
        (["\u00a0", "Ali"], ["O", "B-PER"]),
        (["x"], ["O"]),
    ]
    assert list(table.lines) == [3, 7, 10]
    assert table.notes == ("1 -DOCSTART- lines left out",)


def test_conll_with_more_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "x.conll", "EU\tNNP\tB-NP\tB-ORG\nrejects\tVBZ\tB-VP\tO\n")
    table = readers.read(path, "auto", "auto")
    assert table.rows == [(["EU", "rejects"], ["B-ORG", "O"])]
    assert table.notes == ("4 columns: the first is the token, the last the tag",)


def test_conllu(tmp_path: Path) -> None:
    rest = "\t_" * 6
    lines = [
        "# newdoc",
        "# sent_id = a 1",
        "# text[eng] = #",
        f"1-2\tdu\t_\t_{rest}",
        f"1\tde\t_\tADP{rest}",
        f"2\t_\t_\tDET{rest}",
        f"2.1\tgone\t_\tVERB{rest}",
        f"3\tDiviya bû\t_\tPROPN{rest}",
        "",
        "# a comment and no words",
        "",
        f"1\t#\t_\tSYM{rest}",
    ]
    table = readers.read(written(tmp_path, "x.conllu", "\n".join(lines)), "auto", "auto")
    assert table.columns == ("id", "tokens", "upos")
    assert table.rows == [
        ("a 1", ["de", "_", "Diviya bû"], ["ADP", "DET", "PROPN"]),
        (None, ["#"], ["SYM"]),
    ]
    assert table.notes == (
        "1 multiword ranges skipped (their words are kept)",
        "1 empty nodes skipped",
    )


def test_iob2(tmp_path: Path) -> None:
    content = "# sent_id = x-1\n# text = Ali #\n1\tAli\tB-PER\t-\tann\n2\t#\tO\t-\t-\n"
    table = readers.read(written(tmp_path, "x.iob2", content), "auto", "auto")
    assert table.rows == [("x-1", ["Ali", "#"], ["B-PER", "O"])]


def test_parquet_gives_class_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names = ClassLabel(names=["neg", "pos"])
    features = Features(
        {"text": Value("string"), "label": names, "tags": List(names), "n": Value("int32")}
    )
    columns = {"text": ["a", None], "label": [1, -1], "tags": [[0, 1], None], "n": [3, 4]}
    path = tmp_path / "x.parquet"
    Dataset.from_dict(columns, features=features).to_parquet(str(path))
    table = readers.read(path, "auto", "auto")
    assert table.columns == ("text", "label", "tags", "n")
    assert table.rows == [("a", "pos", ["neg", "pos"], "3"), (None, None, None, "4")]
    assert table.where(1) == f"{path} row 2"


def test_a_field_longer_than_csv_takes_by_itself(tmp_path: Path) -> None:
    article = "word " * 40_000
    table = readers.read(written(tmp_path, "x.csv", f'text,label\n"{article}",a\n'), "auto", "csv")
    assert table.rows == [(article, "a")]


def test_escaped_signs_in_json(tmp_path: Path) -> None:
    table = readers.read(written(tmp_path, "x.jsonl", '{"a": "\\ud83d\\ude00"}\n'), "auto", "auto")
    assert table.rows == [("😀",)]
