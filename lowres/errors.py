"""The one tree of errors. Each class knows the exit status of the command that meets it.

Exit statuses: 0 done · 1 a bug · 2 the user must change something · 3 finished, but a score must
not be trusted · 130 interrupted, resumable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches


class LowresError(Exception):
    """What the user must change: one line that says what failed, what was expected, what to do."""

    exit_status = 2


@contextmanager
def reworded(change: Callable[[str], str]) -> Iterator[None]:
    """What is raised inside says it in other words: options where a recipe has keys."""
    try:
        yield
    except LowresError as error:
        if isinstance(error, RecipeError | Interrupted):
            raise
        raise type(error)(change(str(error))) from error


class RecipeError(LowresError):
    """A recipe that cannot be read; carries every fault at once, one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class LanguageError(LowresError):
    """A language code that no table knows."""


class DataError(LowresError):
    """A data file or data set that cannot be read as the recipe says; names file:line."""


class InputError(DataError, ValueError):
    """What a function or an estimator was given in Python is not what it takes."""


class BaseModelError(LowresError):
    """A base that cannot be found, loaded or used as an encoder."""


class HubError(LowresError):
    """The Hub did not give what was asked: missing, gated, renamed, or no network."""


class ReloadError(HubError):
    """What was published came back with other bytes, does not load, or answers otherwise."""


class RunError(LowresError):
    """A run folder that cannot be used: locked, of another recipe, or on a full disk."""


class DeviceError(LowresError):
    """This machine cannot do what the recipe asks; says which key to change."""


class MissingPackageError(LowresError):
    """Something that an extra of lowres brings is asked for and not installed."""


class Interrupted(LowresError):  # noqa: N818 - an event, not an error
    """Ctrl-C or SIGTERM; the run folder is whole and resumes."""

    exit_status = 130


def nearest(word: str, known: Sequence[str], likeness: float = 0.5) -> str:
    """`"; did you mean 'x'?"` for the closest known word, or the empty string."""
    close = get_close_matches(word, known, n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""
