"""What happens in a run, as it happens: types for a program; `progress` has lines for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageStarted:
    """A stage begins, or goes on where it was broken off."""

    stage: str
    """Its folder in the run folder, such as `extend`, `train/1`, `evaluate`."""


@dataclass(frozen=True)
class StageFinished:
    """A stage is whole: its manifest is written."""

    stage: str
    seconds: float
    """What it took, when it was made."""
    reused: bool = False
    """Whether an earlier call made it, so that nothing was done now."""


@dataclass(frozen=True)
class Step:
    """Work in units that are counted: optimiser steps, windows that are answered."""

    work: str
    """Such as `train, seed 1`."""
    done: int
    total: int


@dataclass(frozen=True)
class EpochScored:
    """The adapter in the making was scored on source dev, which checkpoints are chosen by."""

    seed: int
    epoch: float
    step: int
    metric: str
    score: float
    """Between 0 and 1."""


@dataclass(frozen=True)
class News:
    """A line for people, as the command prints it."""

    line: str


@dataclass(frozen=True)
class Warned:
    """What whoever reads the scores must know; those of `results.json`, each once."""

    text: str


@dataclass(frozen=True)
class Done:
    """The run is finished: `results.json` and `report.html` are in its folder."""

    folder: Path
    seconds: float


Event = StageStarted | StageFinished | Step | EpochScored | News | Warned | Done
OnEvent = Callable[[Event], None]
"""Called in the thread that works, at once; what it raises stops the run, which can go on later."""


def unheard(event: Event) -> None:
    """Nobody listens."""
