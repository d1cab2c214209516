"""Steps of `align` and of `mlm` in turn, `adapt.mlm_share` of them the latter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from lowres.objectives import Figure, Job, align, check_enough, mlm
from lowres.sampling import LengthGrouped


class Objective:
    """Pairs and lines, each in an order of its own.

    An epoch has as many steps as pairs and lines together fill: with as many of both and half of
    the steps each, every pair and every line comes once.
    """

    masked_lm = True
    parallel = True

    def __init__(self, job: Job) -> None:
        self._share = job.options.mlm_share
        # where in the first round the first step of mlm falls
        self._phase = float(np.random.default_rng((job.seed, 0)).random())
        self._pairs = _Part(align.Objective(job), job)
        self._lines = _Part(mlm.Objective(job), job)
        self.lengths = np.concatenate(
            [self._pairs.objective.lengths, self._lines.objective.lengths]
        )

    def mlm_steps(self, step: int) -> int:
        """How many of the steps before this one are mlm's; they are spread evenly."""
        return math.floor(step * self._share + self._phase)

    def loss(self, chosen: Sequence[int], step: int) -> torch.Tensor:
        """Of the step's own batch; what is `chosen` from both kinds together is not used."""
        done = self.mlm_steps(step)
        if self.mlm_steps(step + 1) > done:
            return self._lines.loss(done)
        return self._pairs.loss(step - done)

    def figures(self) -> list[Figure]:
        """Those of both."""
        return [*self._pairs.objective.figures(), *self._lines.objective.figures()]


class _Part:
    """One of the two with its batches."""

    def __init__(self, objective: align.Objective | mlm.Objective, job: Job) -> None:
        check_enough(len(objective.lengths), job.options.batch)
        self.objective = objective
        self._order = LengthGrouped(
            [int(n) for n in objective.lengths], job.options.batch, job.seed
        )
        self._epoch = -1
        self._indices: list[int] = []

    def loss(self, number: int) -> torch.Tensor:
        """Of its batch `number`, counted from the start of training."""
        size = self._order.batch
        epoch, place = divmod(number, len(self._order) // size)
        if epoch != self._epoch:
            self._order.set_epoch(epoch)
            self._epoch, self._indices = epoch, list(self._order)
        return self.objective.loss(self._indices[place * size : (place + 1) * size], number)
