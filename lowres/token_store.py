"""Token ids of a text on disk: flat memory for any size, any line at once, there after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lowres import sealed

SEAL = "ids.json"
CHUNK = 10_000
"""Lines encoded at a time."""

Encode = Callable[[list[str]], list[list[int]]]


class TokenStore:
    """Lines as token ids, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.ends = np.load(folder / "ends.npy")
        size = int(self.ends[-1]) if len(self.ends) else 0
        # an empty file cannot be mapped
        self._ids = (
            np.memmap(folder / "ids.bin", dtype=np.uint32, mode="r", shape=(size,))
            if size
            else np.zeros(0, dtype=np.uint32)
        )

    @classmethod
    def make(
        cls,
        folder: Path,
        lines: Iterable[str],
        encode: Encode,
        say: Callable[[str], None] = lambda line: None,
    ) -> TokenStore:
        """Encode lines into a folder, unless they are there whole; `say` is told of damage."""
        at = folder / SEAL
        if sealed.broken(at, "token ids", say):
            folder.mkdir(parents=True, exist_ok=True)
            lengths: list[int] = []
            with (folder / "ids.bin").open("wb") as file:
                for ids in _encoded(lines, encode):
                    file.write(np.asarray(ids, dtype=np.uint32).tobytes())
                    lengths.append(len(ids))
            np.save(folder / "ends.npy", np.cumsum(lengths, dtype=np.int64))
            sealed.seal(at, [folder / "ids.bin", folder / "ends.npy"])
        return cls(folder)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        """Ids of a line, int64."""
        start = int(self.ends[index - 1]) if index else 0
        return np.asarray(self._ids[start : int(self.ends[index])], dtype=np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a line."""
        lengths: np.ndarray = np.diff(self.ends, prepend=0)
        return lengths


def _encoded(lines: Iterable[str], encode: Encode) -> Iterator[list[int]]:
    rest = iter(lines)
    while chunk := list(islice(rest, CHUNK)):
        yield from encode(chunk)
