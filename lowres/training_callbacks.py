"""What watches a training loop: interruption, divergence, checkpoints, exact random state."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lowres import artifacts
from lowres.errors import Interrupted
from lowres.events import EpochScored, OnEvent
from lowres.progress import Advance
from lowres.sampling import LengthGrouped

CHECKPOINTS = "checkpoints"
WHOLE = "whole"
"""Written last into a checkpoint and removed first: without it a folder is half a checkpoint."""
STATE = "trainer_state.json"
SAVE_EVERY_S = 60.0


class Watch(TrainerCallback):
    """Stops on NaN, saves every minute and on Ctrl-C, makes the random state a function of the
    step.

    Dropout after a resume must draw what it would have drawn. Trainer saves the state of the
    generators with a checkpoint and restores it, which is exact unless something draws between
    the save and the next step and is not done again by the resume. At an epoch's end something
    does: a checkpoint saved by the last step (`save_strategy="steps"`) lies before the evaluation
    of that epoch, every pass of a DataLoader draws a base seed from the global generator, and a
    resume goes straight to the next epoch. So each step is seeded by its number, and no
    checkpoint is made between an epoch's last step and its evaluation.
    """

    def __init__(
        self, seed: int, steps: int, epoch_steps: int, save_every_s: float = SAVE_EVERY_S
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.epoch_steps = epoch_steps
        self.save_every_s = save_every_s
        self.interrupted = False
        self._saved_s = time.monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        torch.manual_seed((self.seed * 1_000_003 + state.global_step) * 64 + args.process_index)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        late = time.monotonic() - self._saved_s > self.save_every_s
        late, self.interrupted = agreed(late, self.interrupted)
        # a checkpoint between the last step of an epoch and its evaluation would resume behind
        # the evaluation, which would then be missing from the choice of the best
        border = state.global_step % self.epoch_steps == 0 or state.global_step >= self.steps
        if (late or self.interrupted) and not border:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        self._saved_s = time.monotonic()
        (self.interrupted,) = agreed(self.interrupted)
        if self.interrupted and state.global_step < self.steps:
            raise Interrupted(f"interrupted at step {state.global_step} of {self.steps}")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        if diverged(state.log_history[-1:]):
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


class Scores(TrainerCallback):
    """Tells every score on source dev."""

    def __init__(self, tell: OnEvent, seed: int, metric: str) -> None:
        self.tell = tell
        self.seed = seed
        self.metric = metric

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        epoch, score = round(float(state.epoch or 0.0), 4), float(known["metrics"]["eval_score"])
        self.tell(EpochScored(self.seed, epoch, state.global_step, self.metric, score))


class EpochOrder(TrainerCallback):
    """Tells the sampler its epoch; accelerate's wrappers do not always pass it on."""

    def __init__(self, order: LengthGrouped) -> None:
        self.order = order

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        # epochs are fractions of whole steps; the margin absorbs their rounding
        self.order.set_epoch(int((state.epoch or 0.0) + 1e-6))


@dataclass
class Pressed:
    """Whether Ctrl-C came; for loops that are not the Trainer's."""

    interrupted: bool = False


@contextmanager
def interruptible(watch: Watch | Pressed) -> Iterator[None]:
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


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. `ended`: training was over there (early stopping, NaN, last step)."""

    path: Path
    step: int
    ended: bool


def newest_whole_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that was saved whole and whose best one is there too."""
    for step, path in sorted(_steps(folder), reverse=True):
        if not (path / WHOLE).exists():
            continue
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        best = state["best_model_checkpoint"]
        if best is not None and not (folder / Path(best).name / WHOLE).exists():
            continue
        if best is not None and Path(best) != folder / Path(best).name:
            # the run folder was moved, or is reached from another working directory
            state["best_model_checkpoint"] = str(folder / Path(best).name)
            artifacts.write_text(path / STATE, json.dumps(state, indent=2) + "\n")
        control = state["stateful_callbacks"]["TrainerControl"]["args"]
        return Checkpoint(path, step, bool(control["should_training_stop"]))
    return None


def remove_halves(folder: Path) -> None:
    """Remove what a kill in the middle of a save or of a removal has left."""
    for _, path in _steps(folder):
        if not (path / WHOLE).exists():
            shutil.rmtree(path)


def remove_checkpoints(folder: Path, keep: Iterable[str] = ()) -> None:
    """Remove checkpoints but those named in `keep`; a kill in between leaves a folder to resume
    from. Newest first: an older checkpoint never refers to a newer one as its best."""
    for _, path in sorted(_steps(folder), reverse=True):
        if path.name not in keep:
            (path / WHOLE).unlink(missing_ok=True)
            shutil.rmtree(path)


def _steps(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"checkpoint-(\d+)", p.name), p) for p in folder.glob("checkpoint-*")]
    return [(int(match[1]), path) for match, path in found if match]


def is_main() -> bool:
    """Whether this is the process that writes files: the only one, or the first of several."""
    return not _several() or torch.distributed.get_rank() == 0


def wait_for_all() -> None:
    """Until every process of a distributed run is here."""
    if _several():
        torch.distributed.barrier()


def from_main(value: Any) -> Any:
    """The first process's value, so that all take the same turn."""
    values = [value]
    if _several():
        torch.distributed.broadcast_object_list(values, src=0, group=_talk())
    return values[0]


def agreed(*wishes: bool) -> tuple[bool, ...]:
    """Whether any process wishes it, for every wish: a checkpoint needs all of them."""
    if not _several():
        return wishes
    votes: list[tuple[bool, ...]] = [() for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(votes, wishes, group=_talk())
    return tuple(any(each) for each in zip(*votes, strict=True))


@cache
def _talk() -> Any:
    """What the processes' few words go through: by the GPUs' own way each would wait until the GPUs
    have done what they have to do. All processes come here first at the same moment."""
    if torch.distributed.get_backend() == "gloo":
        return None
    return torch.distributed.new_group(backend="gloo", timeout=timedelta(days=7))


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def diverged(history: Iterable[dict[str, Any]]) -> bool:
    """Whether a logged loss was NaN or infinite.

    The gradient's norm does not count: with fp16 it overflows now and then, and the scaler skips
    those steps.
    """
    losses = (row[key] for row in history for key in ("loss", "train_loss") if key in row)
    return any(not math.isfinite(loss) for loss in losses)


def curves(history: list[dict[str, Any]], metric: str) -> list[tuple[int, float, str, float]]:
    """(step, epoch, name, value) of losses, rates and source-dev scores."""
    names = {"loss": "loss", "learning_rate": "learning_rate", "eval_score": f"dev {metric}"}
    return [
        (int(row["step"]), round(float(row["epoch"]), 4), name, float(row[key]))
        for row in history
        for key, name in names.items()
        if key in row and math.isfinite(row[key])
    ]
