"""How long work reports itself: a bar a step on standard error, events to a program, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from lowres.events import Event, News, OnEvent, Step, Warned

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage may tell while it works."""

    def say(self, line: str) -> None:
        """One line of news."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """A bar of `total` units; the block gets a function that moves it on by n units."""

    def tell(self, event: Event) -> None:
        """What happened, for a program; people are told by the other two."""


class Silent:
    """Tells nothing (tests, other processes of a distributed run)."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of `total` units."""
        yield lambda n: None

    def tell(self, event: Event) -> None:
        """Nothing."""


class Listener:
    """Tells a function every event, news and steps too; another progress hears all of it as well.

    What the function raises passes through the work below, which may put it into other words
    (a full disk, no memory); it is kept in `raised`, as it was. Nobody is told anything after it.
    """

    def __init__(self, on_event: OnEvent, inner: Progress) -> None:
        self.raised: Exception | None = None
        self._on_event = on_event
        self._inner = inner
        self._warned: set[str] = set()

    def say(self, line: str) -> None:
        """One line of news."""
        self._inner.say(line)
        self.tell(News(line))

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of `total` units."""
        done = 0
        with self._inner.bar(description, total) as advance:

            def step(n: int) -> None:
                nonlocal done
                done += n
                advance(n)
                self.tell(Step(description, done, total))

            yield step

    def tell(self, event: Event) -> None:
        """What happened; a warning once."""
        if self.raised is not None or (isinstance(event, Warned) and event.text in self._warned):
            return
        if isinstance(event, Warned):
            self._warned.add(event.text)
        self._inner.tell(event)
        try:
            self._on_event(event)
        except Exception as error:
            self.raised = error
            raise


class Terminal:
    """rich bars on standard error, so that standard output stays clean for `--json`."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called at every sign of life; it may raise to stop the work."""
        from rich.console import Console

        self.console = Console(stderr=True)
        self._check = check

    def say(self, line: str) -> None:
        """One line of news."""
        self._check()
        # unwrapped: what is one line here is one line in a log
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def tell(self, event: Event) -> None:
        """Nothing: lines and bars say it."""
        self._check()

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of `total` units; in a log (no terminal) a line a quarter."""
        if not self.console.is_terminal:
            quarters = _Quarters(self.say, description, total)
            yield self._checked(quarters)
            self._check()
            return
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
            yield self._checked(lambda n: bars.advance(task, n))
            self._check()

    def _checked(self, advance: Advance) -> Advance:
        def step(n: int) -> None:
            self._check()
            advance(n)

        return step


class _Quarters:
    """Says how far work is at every quarter; four lines however long it takes."""

    def __init__(self, say: Callable[[str], None], description: str, total: int) -> None:
        self._say = say
        self._description = description
        self._total = max(1, total)
        self._done = 0

    def __call__(self, n: int) -> None:
        before, self._done = 4 * self._done // self._total, self._done + n
        after = 4 * self._done // self._total
        if after > before:
            self._say(f"{self._description}: {25 * after}%")
