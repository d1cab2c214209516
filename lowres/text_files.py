"""Data files to text: UTF-8, or a line that says what the file is and how to convert it."""

from __future__ import annotations

from pathlib import Path

from lowres.errors import DataError


def read_bytes(path: Path) -> bytes:
    """The bytes of a data file. Raises `DataError` for a missing or empty one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check data.files and data.names") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected labelled examples")
    return data


def read_text(path: Path) -> tuple[str, list[str]]:
    """The file's text, and what had to be done to it.

    Raises `DataError` that names the line for anything but UTF-8, and what to do.
    """
    data = read_bytes(path)
    notes = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{path}: is UTF-16 (byte offset 0), expected UTF-8; "
            "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"
        )
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        notes.append("byte-order mark at the start left out")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        offset = error.start + (3 if notes else 0)
        raise DataError(
            f"{path}:{line}: not UTF-8 at byte offset {offset} (0x{data[error.start]:02x}); "
            "convert it from its encoding, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
        ) from None
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected labelled examples")
    _check_characters(path, text)
    return text, notes


def _check_characters(path: Path, text: str) -> None:
    """No text holds a NUL, and lines end as they do since 2001."""
    nul = text.find("\0")
    if nul >= 0:
        raise DataError(
            f"{path}:{text.count(chr(10), 0, nul) + 1}: holds a NUL byte: no text, or UTF-16 "
            "without its mark; convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW"
        )
    if "\n" not in text and "\r" in text:
        raise DataError(
            f"{path}: lines end in a bare carriage return (old Mac); "
            "convert it: tr '\\r' '\\n' < FILE > NEW"
        )
