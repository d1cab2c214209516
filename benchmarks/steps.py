"""Processor time of the steps of a training, lowres' or any other Trainer's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Runs from where an epoch begins to the end of its last step, over whole epochs: the first
    steps, in which kernels are compiled and the longest batches may come, are in it on every side;
    what is done between the epochs is in it on none."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0
        self._start = self._end = 0.0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Called by Trainer."""
        self._start = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by Trainer."""
        self._end = time.process_time()
        self.steps += 1

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Called by Trainer."""
        self.seconds += self._end - self._start


@contextmanager
def lowres_clock() -> Iterator[Clock]:
    """A clock that runs with the training of lowres inside, beside its progress bar."""
    from lowres import training_callbacks

    clock, bar = Clock(), training_callbacks.Bar

    class Timed(bar):  # type: ignore[misc, valid-type]
        """The bar, and the clock."""

        def on_epoch_begin(self, *known: Any, **named: Any) -> None:
            clock.on_epoch_begin()

        def on_step_end(self, *known: Any, **named: Any) -> None:
            super().on_step_end(*known, **named)
            clock.on_step_end()

        def on_epoch_end(self, *known: Any, **named: Any) -> None:
            clock.on_epoch_end()

    training_callbacks.Bar = Timed  # type: ignore[misc]
    try:
        yield clock
    finally:
        training_callbacks.Bar = bar  # type: ignore[misc]
