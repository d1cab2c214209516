"""How many pieces each line of a text has, in batches, at about the Rust tokenizer's own speed.

Where a tokenizer looks at each word alone, as nearly all do in scripts that set spaces, a word is
encoded when it is first met, and a line is the sum of its words. That this holds is not believed
but seen: all of the first batch and every 64th line behind it are encoded whole as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BATCH_CHARACTERS: Final = 2**20
LONGEST_PART: Final = 10_000
"""Longer lines are encoded in parts: a tokenizer holds some hundred bytes a piece."""
KNOWN_CHARACTERS: Final = 2**22
"""Words are forgotten above this, so that memory stays flat; common ones are soon known again."""
CHECKED_EVERY: Final = 64
_UNKNOWN: Final = 2**32
"""Pieces and unknown ones of a word in one number: pieces + this many times the unknown."""


@dataclass
class Batch:
    """Parts of lines, about a megabyte together."""

    parts: list[str] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    """Whether a part is the last of its line."""
    size: int = 0


@dataclass(frozen=True)
class Counted:
    """A batch and what a tokenizer makes of it."""

    batch: Batch
    pieces: NDArray[np.int64]
    """Of each part."""
    unknown: int
    """Unknown pieces, of all parts together."""
    exact: bool = True
    """False where lines before were counted by words, and a checked one turns out otherwise."""


def counted(
    backend: Any,
    unknown_id: int | None,
    lines: Iterable[str],
    spaced: bool,
    look: Callable[[str], None],
) -> Iterator[Counted]:
    """Count the pieces of every line, special ones not among them.

    Args:
        backend: of the tokenizers library, without truncation or padding.
        unknown_id: of the unknown piece, or None.
        lines: texts, read once.
        spaced: whether spaces part words in them.
        look: shown every part of a line in turn.
    """
    batches = _batches(lines, look)
    if not spaced:
        yield from _by_lines(backend, unknown_id, batches)
        return
    words = _Words(backend, unknown_id)
    for batch in batches:
        pieces, unknown = words.count(batch.parts)
        sound = words.check(batch.parts, pieces, 1 if words.batches == 1 else CHECKED_EVERY)
        if not sound:
            whole = _of_encodings(unknown_id, batch, _encode(backend, batch.parts))
            yield replace(whole, exact=words.batches == 1)
            yield from _by_lines(backend, unknown_id, batches)
            return
        yield Counted(batch, pieces, unknown)


class _Words:
    """The words met so far, with their pieces: those that begin a part, and those behind a space.

    Byte-level tokenizers know the difference.
    """

    def __init__(self, backend: Any, unknown_id: int | None) -> None:
        self._backend, self._unknown_id = backend, unknown_id
        self._begin: dict[str, int] = {}
        self._behind: dict[str, int] = {}
        self._characters = 0
        self.batches = 0

    def count(self, parts: list[str]) -> tuple[NDArray[np.int64], int]:
        """Pieces of each part; unknown pieces of all."""
        self.batches += 1
        if self._characters > KNOWN_CHARACTERS:
            self._begin.clear()
            self._behind.clear()
            self._characters = 0
        # two spaces in a row can be a piece of their own
        split = [[] if "  " in part else part.split(" ") for part in parts]
        self._learn(self._begin, {words[0] for words in split if words}, "")
        self._learn(self._behind, set().union(*split), " ")
        begin, behind = self._begin, self._behind.__getitem__
        sums = np.fromiter(
            (
                sum(map(behind, words)) - behind(words[0]) + begin[words[0]] if words else 0
                for words in split
            ),
            dtype=np.int64,
            count=len(parts),
        )
        whole = [i for i, words in enumerate(split) if not words]
        for i, value in zip(whole, self._values([parts[i] for i in whole]), strict=True):
            sums[i] = value
        return sums % _UNKNOWN, int((sums // _UNKNOWN).sum())

    def check(self, parts: list[str], pieces: NDArray[np.int64], every: int) -> bool:
        """Whether every n-th part has as many pieces when it is encoded whole."""
        whole = _encode(self._backend, parts[::every])
        return np.array_equal([len(encoding) for encoding in whole], pieces[::every])

    def _learn(self, known: dict[str, int], words: set[str], before: str) -> None:
        new = list(words - known.keys())
        known.update(zip(new, self._values([before + word for word in new]), strict=True))
        self._characters += sum(map(len, new))

    def _values(self, texts: list[str]) -> list[int]:
        encodings = _encode(self._backend, texts)
        if self._unknown_id is None:
            return [len(encoding) for encoding in encodings]
        unknown = self._unknown_id
        return [len(each) + _UNKNOWN * each.ids.count(unknown) for each in encodings]


def _by_lines(backend: Any, unknown_id: int | None, batches: Iterator[Batch]) -> Iterator[Counted]:
    """Every part as a whole, the next batch being encoded while this one is counted."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lowres-encode") as pool:
        waiting: tuple[Batch, Any] | None = None
        for batch in batches:
            future = pool.submit(_encode, backend, batch.parts)
            if waiting is not None:
                yield _of_encodings(unknown_id, waiting[0], waiting[1].result())
            waiting = batch, future
        if waiting is not None:
            yield _of_encodings(unknown_id, waiting[0], waiting[1].result())


def _encode(backend: Any, texts: list[str]) -> list[Any]:
    found: list[Any] = backend.encode_batch_fast(texts, add_special_tokens=False)
    return found


def _of_encodings(unknown_id: int | None, batch: Batch, encodings: list[Any]) -> Counted:
    pieces = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
    if unknown_id is None:
        return Counted(batch, pieces, 0)
    return Counted(batch, pieces, sum(encoding.ids.count(unknown_id) for encoding in encodings))


def _batches(lines: Iterable[str], look: Callable[[str], None]) -> Iterator[Batch]:
    batch = Batch()
    for line in lines:
        parts = _parts(line) if len(line) > LONGEST_PART else [line]
        for index, part in enumerate(parts, start=1):
            look(part)
            batch.parts.append(part)
            batch.ends.append(index == len(parts))
            batch.size += len(part)
            if batch.size >= BATCH_CHARACTERS:
                yield batch
                batch = Batch()
    if batch.parts:
        yield batch


def _parts(line: str) -> list[str]:
    """A long line, cut at spaces where it has any."""
    parts, start = [], 0
    while start < len(line):
        end = start + LONGEST_PART
        if end < len(line):
            space = line.rfind(" ", start + 1, end)
            end = space if space > 0 else end
        parts.append(line[start:end])
        start = end
    return parts
