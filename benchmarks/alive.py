"""Which tensors are alive when their sum is highest: a profile of memory, for `large_memory.py`."""

from __future__ import annotations

import traceback
import weakref
from collections import defaultdict
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

LINES = 14


class Alive(TorchDispatchMode):
    """Follows the storages that operations make, each until it is let go.

    What is made outside of operations (numpy's, oneDNN's scratch) and the heap's holes are not
    seen: the resident memory of the process less this sum is theirs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[int, tuple[int, str]] = {}
        self._sum = 0
        self._highest = 0
        self._at_highest: dict[int, tuple[int, str]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch for every operation."""
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                self._seen(tensor, str(func))
        return out

    def _seen(self, tensor: torch.Tensor, by: str) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held or storage.nbytes() < 2**16:
            return
        said = f"{str(tensor.dtype)[6:]} {list(tensor.shape)} by {by} in {_place()}"
        self._held[key] = storage.nbytes(), said
        self._sum += storage.nbytes()
        weakref.finalize(storage, self._gone, key)
        if self._sum > self._highest + 2**22:
            self._highest, self._at_highest = self._sum, dict(self._held)

    def _gone(self, key: int) -> None:
        size, _ = self._held.pop(key, (0, ""))
        self._sum -= size

    def report(self) -> list[str]:
        """Lines: the sum, and the kinds of tensors that take most of it."""
        kinds: dict[str, list[int]] = defaultdict(list)
        for size, said in self._at_highest.values():
            kinds[said].append(size)
        order = sorted(kinds.items(), key=lambda kind: -sum(kind[1]))
        lines = [f"{self._highest / 2**20:,.0f} MB of tensors at most"]
        return lines + [
            f"{sum(s) / 2**20:8,.0f} MB: {len(s)} x {said}" for said, s in order[:LINES]
        ]


def _place() -> str:
    """The innermost lines of Python that are not torch's own."""
    names = [
        f"{frame.filename.rsplit('/', 2)[-2]}/{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        for frame in traceback.extract_stack(limit=30)
        if "/torch/" not in frame.filename and "alive.py" not in frame.filename
    ]
    return " < ".join(reversed(names[-2:]))
