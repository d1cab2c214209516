"""Ctrl-C that is never lost, and SIGTERM as if it were one.

Python raises KeyboardInterrupt wherever it happens to be, and where that is a weakref callback or
a finaliser (an import in progress runs some) the exception is printed and forgotten: the program
runs on. So the key press is remembered too, and `check` raises it again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Presses:
    """Remembers Ctrl-C or SIGTERM from the signal on."""

    def __init__(self) -> None:
        self.seen = False

    def check(self) -> None:
        """Raise the KeyboardInterrupt that got lost, if one did."""
        if self.seen:
            raise KeyboardInterrupt

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch SIGINT and SIGTERM during the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def pressed(number: int, frame: FrameType | None) -> None:
            self.seen = True
            raise KeyboardInterrupt

        before = {s: signal.signal(s, pressed) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
