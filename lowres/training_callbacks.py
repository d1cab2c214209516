"""What watches a training loop: interruption, divergence, timed checkpoints, exact random state."""

from __future__ import annotations

import math
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lowres.errors import Interrupted
from lowres.progress import Advance
from lowres.sampling import LengthGrouped

WHOLE = "whole"
"""Written last into a checkpoint: a kill in the middle of a save leaves a folder without it."""
SAVE_EVERY_S = 60.0


class Watch(TrainerCallback):
    """Stops on NaN, saves every minute and on Ctrl-C, makes the random state a function of the
    step.

    Dropout after a resume must draw what it would have drawn. Trainer restores the generators at
    mid-epoch, but at an epoch's border it restores the state from before the new epoch's sampler
    drew its seed, so the two part ways; seeding each step by its number has no such border.
    """

    def __init__(self, seed: int, steps: int, epoch_steps: int) -> None:
        self.seed = seed
        self.steps = steps
        self.epoch_steps = epoch_steps
        self.diverged = False
        self.interrupted = False
        self._saved_s = time.monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        torch.manual_seed((self.seed * 1_000_003 + state.global_step) * 64 + args.process_index)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        # a checkpoint between the last step of an epoch and its evaluation would resume behind
        # the evaluation, which would then be missing from the choice of the best
        border = state.global_step % self.epoch_steps == 0 or state.global_step >= self.steps
        late = time.monotonic() - self._saved_s > SAVE_EVERY_S and args.world_size == 1
        if (late or self.interrupted) and not border:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        self._saved_s = time.monotonic()
        if self.interrupted and state.global_step < self.steps:
            raise Interrupted(f"interrupted at step {state.global_step} of {self.steps}")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        logs = known.get("logs") or {}
        if any(not math.isfinite(v) for v in logs.values() if isinstance(v, float)):
            self.diverged = True
            control.should_training_stop = True


class Bar(TrainerCallback):
    """Moves the progress bar, from where a resumed run begins."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.shown = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        self._show(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        self._show(state.global_step)

    def _show(self, step: int) -> None:
        self.advance(step - self.shown)
        self.shown = step


class EpochOrder(TrainerCallback):
    """Tells the sampler its epoch; accelerate's wrappers do not always pass it on."""

    def __init__(self, order: LengthGrouped) -> None:
        self.order = order

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        # epochs are fractions of whole steps; the margin absorbs their rounding
        self.order.set_epoch(int((state.epoch or 0.0) + 1e-6))


@contextmanager
def interruptible(watch: Watch) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) saves a checkpoint and stops; the second stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if watch.interrupted:
            raise KeyboardInterrupt
        watch.interrupted = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was saved whole; halves are removed."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).exists() and (match := re.search(r"-(\d+)$", path.name)):
            found[int(match[1])] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None


def curves(history: list[dict[str, Any]], metric: str) -> list[tuple[int, float, str, float]]:
    """(step, epoch, name, value) of losses, rates and source-dev scores."""
    names = {"loss": "loss", "learning_rate": "learning_rate", "eval_score": f"dev {metric}"}
    return [
        (int(row["step"]), round(float(row["epoch"]), 4), name, float(row[key]))
        for row in history
        for key, name in names.items()
        if key in row and math.isfinite(row[key])
    ]
