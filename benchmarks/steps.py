"""Time of the steps of a training, lowres' or any other Trainer's: a processor's own, or with a GPU
the clock's, once the GPU is through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback


def now() -> float:
    """Seconds of the processor, or with a GPU of the clock once the GPU is through."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.monotonic()


class Clock(TrainerCallback):
    """Runs from where an epoch begins to the end of its last step, over whole epochs: the first
    steps, in which kernels are compiled and the longest batches may come, are in it on every side;
    what is done between the epochs is in it on none."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0
        self._start = self._end = 0.0
        self._on_gpu = torch.cuda.is_available()

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Called by Trainer."""
        self._start = now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by Trainer."""
        self.steps += 1
        if not self._on_gpu:  # each look would wait for a GPU
            self._end = now()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Called by Trainer, before it evaluates."""
        if self._on_gpu:
            self._end = now()
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
