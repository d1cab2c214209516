"""Asking the Hub: tried again where that helps, errors in one line.

The client itself tries uploads of parts again, but neither commits nor what stands around them, and
waits for an answer for ever.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from lowres import artifacts
from lowres.errors import HubError
from lowres.progress import Progress

Answer = TypeVar("Answer")
WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
MOST_WAIT_S: Final = 120.0
"""Longest `Retry-After` that is waited for."""
TIMEOUT_S: Final = 60.0
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_MOST_WORDS: Final = 300
"""Letters of what the Hub says that are passed on."""
_LATER: Final = "give the same command again later, it goes on"
_REASONS: Final = {
    401: "the token is expired or wrong; run `hf auth login` again",
    404: "no such repository or revision, or the token may not see it",
    409: "the name is taken; take another",
    412: "somebody else committed meanwhile; look what, then give the same command again",
    429: f"too many requests for now; {_LATER}",
}
_OWN_WORDS: Final = frozenset({401, 404, 409, 412})
"""Statuses of which nothing is to be told but the reason: the Hub's words say the same."""


class Asking:
    """Calls about one repository. `page`: its address, for errors."""

    def __init__(
        self, repo_id: str, page: str, progress: Progress, sleep: Callable[[float], None]
    ) -> None:
        self.repo_id = repo_id
        self.page = page
        self._progress = progress
        self._sleep = sleep

    def __call__(
        self,
        what: str,
        ask: Callable[[], Answer],
        already: Callable[[], Answer | None] | None = None,
    ) -> Answer:
        """What `ask` gives, at one of several tries.

        Args:
            what: for the lines that the user sees.
            ask: the call.
            already: asked before each try but the first; what it gives, if anything, is taken.

        Raises:
            HubError: the Hub refuses, or does not answer.
            RunError: the disk is full.
        """
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

        for number in range(len(WAITS_S) + 1):
            try:
                if number and already is not None and (found := already()) is not None:
                    return found
                return ask()
            except (HTTPError, OSError, RuntimeError) as caught:
                self._again(what, caught, number)
        raise AssertionError("the last try returns or raises")

    def _again(self, what: str, caught: Exception, number: int) -> None:
        """Wait before the next try, or raise `HubError` where there is none."""
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        # the client puts errors of uploads and downloads into others of its own
        wrapped = isinstance(caught, RuntimeError | LocalEntryNotFoundError)
        error = (caught.__cause__ if wrapped else None) or caught
        if isinstance(error, HfHubHTTPError):
            status = error.response.status_code if error.response is not None else 0
            if status not in AGAIN or number == len(WAITS_S):
                raise HubError(self._said(what, status, error)) from caught
            self._wait(what, f"HTTP {status}", _told(error) or WAITS_S[number])
            return
        if isinstance(error, RuntimeError):
            raise caught
        if isinstance(error, OSError) and error.errno in artifacts.FULL:
            raise artifacts.disk_error(error, Path(tempfile.gettempdir())) from caught
        if number == len(WAITS_S):
            raise HubError(f"publish: {self.page}: {what}: {_words(error)}; {_LATER}") from caught
        self._wait(what, _words(error), WAITS_S[number])

    def _wait(self, what: str, why: str, seconds: float) -> None:
        self._progress.say(f"publish: {what}: {why}; once more in {seconds:g} s")
        self._sleep(seconds)

    def _said(self, what: str, status: int, error: Any) -> str:
        """Status and reason; where repeating cannot help, the Hub's own words and no "later"."""
        told = " ".join(str(error.server_message or "").split())[:_MOST_WORDS]
        if status in _REASONS:
            reason = _REASONS[status]
        elif status == 403:
            reason = (
                f"this token may not write to {self.repo_id}; take one that may, or another name"
            )
        elif status in AGAIN:
            reason = _LATER
        else:
            reason = "repeating it will not help" if told else "the Hub does not say why"
        if told and status not in AGAIN and status not in _OWN_WORDS:
            reason = f"the Hub says: {told.rstrip('.')}; {reason}"
        return f"publish: {self.page}: {what}: HTTP {status}: {reason}"


@contextmanager
def bounded() -> Iterator[None]:
    """A time-out for the calls that the client makes without one, also after it has reconnected."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY

    def client() -> Any:
        made = before()
        made.timeout = TIMEOUT_S
        return made

    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(before)


def _words(error: BaseException) -> str:
    """What happened to a connection; which error of the client's it is hangs on the moment."""
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer in time"
    return "no connection" if name.startswith("Connect") else "the connection broke"


def _told(error: Any) -> float | None:
    """The seconds of `Retry-After`, if any."""
    given = error.response.headers.get("Retry-After", "")
    return min(MOST_WAIT_S, float(given)) if given.isdecimal() else None
