"""One cell, tried once: in this process, or in whatever process a pool has."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lowres.errors import BaseModelError, DataError, Interrupted, LanguageError, RecipeError
from lowres.kept import Kept
from lowres.progress import Progress
from lowres.recipe import Recipe
from lowres.sweeps.loading import Cell

HOPELESS = (BaseModelError, DataError, LanguageError, RecipeError)
"""What the next try would meet again. A full disk, the Hub and memory may be otherwise then."""


@dataclass(frozen=True)
class Outcome:
    """How a try ended; `error` is None where the run is whole."""

    error: str | None = None
    hopeless: bool = False
    interrupted: bool = False
    trace: str = ""


class Pool(Protocol):
    """Processes that try cells."""

    size: int
    """Cells that are tried side by side."""

    def start(self, cell: Cell) -> None:
        """Try a cell; not more of them at once than `size`."""

    def next(self) -> tuple[Cell, Outcome]:
        """The next one that is finished; waits for it."""

    def close(self, graceful: bool) -> None:
        """End all processes; gracefully: what they do is saved first, so that it resumes."""


class Here:
    """A pool of this process alone, for `workers: 0`."""

    size = 1

    def __init__(self, folder: Callable[[Cell], Path], progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._kept = Kept()
        self._waiting: deque[Cell] = deque()

    def start(self, cell: Cell) -> None:
        """Remember it; `next` does the work."""
        self._waiting.append(cell)

    def next(self) -> tuple[Cell, Outcome]:
        """Try the one that waits."""
        cell = self._waiting.popleft()
        return cell, attempt(cell.recipe, self._folder(cell), self._progress, self._kept)

    def close(self, graceful: bool) -> None:
        """Nothing is left to end."""


def attempt(recipe: Recipe, folder: Path, progress: Progress, kept: Kept) -> Outcome:
    """Run a recipe, and make of whatever it raises an outcome; Ctrl-C goes through."""
    from lowres import pipeline

    try:
        pipeline.run(recipe, folder, progress, kept)
    except Interrupted:
        raise
    except Exception as error:
        return failure(error)
    return Outcome()


def failure(error: BaseException) -> Outcome:
    """The outcome of a try that ended with this error."""
    lines = str(error).strip().splitlines() or ["no message"]
    said = lines[0] if isinstance(error, HOPELESS) else f"{type(error).__name__}: {lines[0]}"
    trace = "".join(traceback.format_exception(error))
    return Outcome(said, isinstance(error, HOPELESS), trace=trace)
