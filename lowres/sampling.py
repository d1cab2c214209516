"""The order of training windows: a function of seed and epoch alone, so that resume is exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

MEGA_BATCHES = 50
"""Windows are sorted by length within this many batches: little padding, much randomness left."""


class LengthGrouped(Sampler[int]):
    """Shuffled windows in batches of similar length; every batch is full.

    transformers' own group_by_length draws from the global generator, so its order depends on all
    that was drawn before; this one gives the same order after a kill, and the same effective
    batches on any number of processes. What the last batch lacks is drawn again from the epoch's
    first windows.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch = batch
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch) * self.batch

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order the next iteration gives."""
        self.epoch = epoch

    def windows(self, generator: np.random.Generator) -> np.ndarray:
        """Indices of the epoch's windows, in an order drawn by `generator`."""
        return generator.permutation(len(self.lengths))

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = np.resize(self.windows(generator), len(self))
        batches: list[np.ndarray] = []
        step = self.batch * MEGA_BATCHES
        for start in range(0, len(order), step):
            chunk = order[start : start + step]
            chunk = chunk[np.argsort(-self.lengths[chunk], kind="stable")]
            batches += np.split(chunk, len(chunk) // self.batch)
        for index in generator.permutation(len(batches)):
            yield from (int(i) for i in batches[index])
