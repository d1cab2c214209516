"""A step's windows in as few forward passes as memory takes; the effective batch stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch


def divisor(of: int, most: int) -> int:
    """The largest divisor of a number that is not above `most`, which is 1 or more."""
    return next(n for n in range(min(of, most), 0, -1) if of % n == 0)


class MicroBatches:
    """How many windows a forward pass takes, out of those of a step in this process."""

    def __init__(
        self, size: int, share: int, changed: Callable[[int, int], None] = lambda a, b: None
    ) -> None:
        """`size` windows of `share` at first; `changed` is told of any other size: the old one and
        the new one."""
        assert share % size == 0, f"{size} does not divide {share}"
        self.size = size
        self._share = share
        self._changed = changed

    def parts(
        self, inputs: dict[str, Any], lengths: Sequence[int]
    ) -> Iterator[dict[str, torch.Tensor]]:
        """A step's tensors [windows, tokens] or [windows] cut into micro-batches, each padded to
        its own longest window.

        Args:
            inputs: on any device; they are not looked into, which would wait for a GPU.
            lengths: of the windows, in order.
        """
        if self.size >= len(lengths):
            yield dict(inputs)
            return
        for start in range(0, len(lengths), self.size):
            some = slice(start, start + self.size)
            longest = max(lengths[some])
            yield {
                name: tensor[some, :longest].contiguous() if tensor.ndim > 1 else tensor[some]
                for name, tensor in inputs.items()
            }

    def halve(self) -> None:
        """After memory was full: at most half as many. Only where `size` is above 1."""
        before = self.size
        self.size = divisor(self._share, before // 2)
        self._changed(before, self.size)
