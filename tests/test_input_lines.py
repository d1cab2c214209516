from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from lowres import input_lines
from lowres.errors import DataError
from lowres.input_lines import LONGEST, chunks, lines_of

BYTES = "\ufeffkwanza\r\n\n a\u2028b \u0085\nmwisho".encode()
LINES = ["kwanza", "", " a\u2028b \u0085", "mwisho"]


def test_only_a_newline_ends_a_line(tmp_path, monkeypatch):
    file = tmp_path / "lines.txt"
    file.write_bytes(BYTES)
    assert list(lines_of(file)) == LINES
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BYTES)))
    assert list(lines_of(None)) == LINES


def test_a_line_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes("good\ncafé\n".encode("latin-1"))
    lines = lines_of(file)
    assert next(lines) == "good"
    with pytest.raises(DataError, match=r"lines\.txt:2: not UTF-8 \(byte 0xe9\)"):
        next(lines)
    with pytest.raises(DataError, match="No such file"):
        lines_of(tmp_path / "none.txt")
    with pytest.raises(DataError, match="Is a directory"):
        lines_of(tmp_path)


def test_nothing_is_no_line_wherever_it_comes_from(tmp_path, monkeypatch):
    file = tmp_path / "lines.txt"
    file.write_bytes(b"")
    assert list(lines_of(file)) == []
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert list(lines_of(None)) == []
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        lines_of(None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00", "lines.txt:1: holds a NUL byte"),
        ("soko".encode("utf-16"), "lines.txt:1: holds a NUL byte"),
        (b"\x89PNG\r\n\x1a\n", "lines.txt:1: not UTF-8"),
        (b"x" * 10_000_000, "lines.txt:1: a line of more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_text_is_refused_at_once(tmp_path, content, says):
    file = tmp_path / "lines.txt"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        lines_of(file)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gigantic_line_is_not_read_whole(tmp_path):
    """Standard input may never end."""
    file = tmp_path / "lines.txt"
    file.write_bytes(b"one\n" + b"x" * LONGEST + b"\r\n" + b"x" * (LONGEST + 1))
    lines = lines_of(file)
    assert [len(next(lines)) for _ in range(2)] == [3, LONGEST]
    with pytest.raises(DataError, match=r"lines\.txt:3: a line of more"):
        next(lines)

    class Endless(io.BytesIO):
        def readline(self, size=-1):
            assert 0 < size <= LONGEST + 2
            return b"x" * size

    with pytest.raises(DataError, match="here:1: a line of more"):
        next(input_lines._decoded(Endless(), "here"))


def plain(line, where):
    return line


def refusing(line, where):
    if line == "bad":
        raise DataError(f"{where}: bad")
    return where


def test_what_comes_before_a_bad_line_comes_first(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes(b"a\nb\nc\xff\nd\n")
    for lines, read, says in (
        (lines_of(file), plain, r"lines\.txt:3: not UTF-8"),
        (["a", "b", None, "d"], plain, "x:3: expected a text"),
        (["a", "b", "bad", "d"], refusing, "x:3: bad"),
    ):
        found = chunks(lines, 10, "x", read)
        assert len(next(found)) == 2
        with pytest.raises(DataError, match=says):
            next(found)
    (whole,) = chunks(["a", "b"], 10, "x", refusing)
    assert whole == ["x:1", "x:2"]


def test_chunks_hold_few_lines_or_few_characters(monkeypatch):
    monkeypatch.setattr(input_lines, "CHUNK_CHARACTERS", 10)
    lines = ["a"] * 5 + ["b" * 20, "c" * 5, "d" * 6, "e\n"]
    found = list(chunks(iter(lines), 4, "x", plain))
    assert [len(chunk) for chunk in found] == [4, 2, 2, 1]
    assert [line for chunk in found for line in chunk] == [line.rstrip("\n") for line in lines]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (None, "texts:2: expected a text, found NoneType"),
        ("x" * (LONGEST + 1), "texts:2: 1,000,001 characters"),
        ("ab\udcff", "texts:2: no text: half a surrogate at character 2"),
    ],
)
def test_a_text_that_is_none_is_named(line, says):
    with pytest.raises(DataError) as caught:
        list(chunks(["good", line], 10, "texts", plain))
    assert says in str(caught.value)
