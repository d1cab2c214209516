"""How long work reports itself: a bar a step on standard error, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage may tell while it works."""

    def say(self, line: str) -> None:
        """One line of news."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """A bar of `total` units; the block gets a function that moves it on by n units."""


class Silent:
    """Tells nothing (tests, other processes of a distributed run)."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of `total` units."""
        yield lambda n: None


class Terminal:
    """rich bars on standard error, so that standard output stays clean for `--json`."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @staticmethod
    def quiet_libraries() -> None:
        """Turn off the bars and notes of the libraries below; ours say what matters."""
        import datasets
        import transformers

        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()

    def say(self, line: str) -> None:
        """One line of news."""
        self.console.print(line, highlight=False, markup=False)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of `total` units."""
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description:<28}"),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.TaskProgressColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda n: bars.advance(task, n)
