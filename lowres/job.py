"""One seed of training as types: what it is trained with, how often it was tried, what came out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.prefix import Store
from lowres.progress import Progress
from lowres.recipe import Recipe
from lowres.shared import Shared


@dataclass(frozen=True)
class Job:
    """One seed of a recipe, and all that it is trained with."""

    recipe: Recipe
    seed: int
    data: LabelledData
    located: LocatedBase
    hardware: Hardware
    folder: Path
    progress: Progress
    save_every_s: float
    shared: Shared
    store: Store | None
    """Where states of frozen layers are kept."""
    start: Path | None = None
    """The adapter that training goes on from; None for fresh weights."""

    @property
    def averages(self) -> bool:
        """Whether the mean of the checkpoints is kept, and not the best one."""
        return self.recipe.train.checkpoint == "average"


@dataclass(frozen=True)
class Attempt:
    """Learning rates are multiplied by `rate_factor`; a collapsed run is tried again at half.
    `micro_batch` is what memory took; None before that is known."""

    rate_factor: float = 1.0
    retried: bool = False
    micro_batch: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What training one seed came to. `best_step` is None where a mean of checkpoints was kept;
    `curves` rows are (step, epoch, name, value)."""

    seed: int
    status: str
    retried: bool
    learning_rate: float
    best_step: int | None
    steps: int
    dev: float
    parameters: int
    trainable_parameters: int
    curves: list[tuple[int, float, str, float]]
    micro_batch: int | None = None
    """Windows a forward pass took at the end."""
