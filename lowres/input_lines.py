"""Lines of a user's text: one text a line, read as they are asked for, never more than fits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from lowres.errors import DataError

T = TypeVar("T")
LONGEST: Final = 1_000_000
"""Characters of one text (bytes where it is read): a thick book. What is longer is no line."""
CHUNK_CHARACTERS: Final = 2_000_000
"""Characters held at a time, however many lines they are."""


def lines_of(file: Path | None) -> Iterator[str]:
    """Lines of a file, or of standard input, without their ends; read as they are asked for.

    Raises `DataError` at once for a file that is missing or begins with no text, and for standard
    input that is closed; for a later line that is no text or too long when it is reached. Those of
    a line name file:line. Nothing in it is no line.
    """
    if file is None:
        if sys.stdin is None:
            raise DataError("standard input is closed; give texts, or --file")
        return _decoded(sys.stdin.buffer, "standard input")
    try:
        lines = _decoded(file.open("rb"), str(file))
    except OSError as error:
        raise DataError(f"--file {file}: cannot be read: {error.strerror}") from error
    # what begins with no text should not have to wait for the base to load
    return chain(list(islice(lines, 1)), lines)


def _decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    with stream:
        number = 0
        # only \n ends a line: a text may hold any other separator that Unicode knows
        while line := stream.readline(LONGEST + 2):
            number += 1
            if len(line.rstrip(b"\r\n")) > LONGEST:
                raise DataError(f"{name}:{number}: {_TOO_LONG}")
            if b"\0" in line:
                raise DataError(
                    f"{name}:{number}: holds a NUL byte: no text, or UTF-16; convert it: "
                    "iconv -f UTF-16 -t UTF-8 FILE > NEW"
                )
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{name}:{number}: not UTF-8 (byte 0x{line[error.start]:02x}); convert it, "
                    "for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
                ) from None


_TOO_LONG: Final = f"a line of more than {LONGEST:,} bytes; expected one text a line: split it"


def chunks(
    lines: Iterable[str], size: int, source: str, read: Callable[[str, str], T]
) -> Iterator[list[T]]:
    """Lines in order, each as what `read` makes of it and of its place (`source:number`).

    At most `size` and little more than `CHUNK_CHARACTERS` at a time. Where a line is no text, too
    long, or `read` refuses it, those before it come first and then the `DataError`.
    """
    chunk: list[T] = []
    characters = 0
    try:
        for number, line in enumerate(lines, start=1):
            where = f"{source}:{number}"
            chunk.append(read(_checked(line, where), where))
            characters += len(line)
            if len(chunk) == size or characters > CHUNK_CHARACTERS:
                yield chunk
                chunk, characters = [], 0
    except DataError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _checked(line: str, where: str) -> str:
    if not isinstance(line, str):
        raise DataError(f"{where}: expected a text, found {type(line).__name__}")
    if len(line) > LONGEST:
        raise DataError(f"{where}: {len(line):,} characters; at most {LONGEST:,}: split it")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: no text: half a surrogate at character {error.start} (bytes that were not "
            "UTF-8?)"
        ) from None
    return line.rstrip("\r\n")
