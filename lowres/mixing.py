"""Several sources in one training: how many windows of each an epoch has.

Language l of n_l windows gets a share of n_l^(1/T) (Arivazhagan et al. 2019, arXiv:1907.05019): at
temperature 1 as many as there are, at higher ones more and more alike. What an epoch draws is a
function of seed and epoch alone, so that resume is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowres.sampling import LengthGrouped


def shares(sizes: Sequence[int], temperature: float) -> np.ndarray:
    """Share of each language, adding up to 1."""
    # by logarithms: large sets at a low temperature overflow
    exponents = np.log(np.asarray(sizes, dtype=float)) / temperature
    weights = np.exp(exponents - exponents.max())
    found: np.ndarray = weights / weights.sum()
    return found


def counts(sizes: Sequence[int], temperature: float) -> list[int]:
    """Windows of each language in an epoch, as many in all as there are; each has one at least."""
    total = sum(sizes)
    exact = shares(sizes, temperature) * total
    found = np.maximum(1, np.floor(exact)).astype(int)
    # the largest remainders get what is left; what the ones above took too much, the largest give
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    for index in order:
        if found.sum() >= total:
            break
        found[index] += 1
    while found.sum() > total:
        found[int(np.argmax(found))] -= 1
    return [int(count) for count in found]


class Mixed(LengthGrouped):
    """As `LengthGrouped`, with every language as often as its share asks for.

    A language that gets more than it has comes round again whole, and a draw of it for the rest;
    one that gets less has another draw in each epoch.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch: int,
        seed: int,
        languages: Sequence[str],
        temperature: float,
    ) -> None:
        super().__init__(lengths, batch, seed)
        names = np.asarray(languages)
        self.groups = [np.flatnonzero(names == name) for name in dict.fromkeys(languages)]
        self.counts = counts([len(group) for group in self.groups], temperature)

    def windows(self, generator: np.random.Generator) -> np.ndarray:
        """Indices of the epoch's windows, in an order drawn by `generator`."""
        drawn = [
            np.concatenate(
                [
                    np.tile(group, count // len(group)),
                    generator.permutation(group)[: count % len(group)],
                ]
            )
            for group, count in zip(self.groups, self.counts, strict=True)
        ]
        return generator.permutation(np.concatenate(drawn))
