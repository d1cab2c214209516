"""Ctrl-C where Python loses it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from lowres.interrupts import Presses
from lowres.progress import Terminal


class Careless:
    """Its finaliser gets the key press; what a finaliser raises is printed and forgotten."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_key_press_that_was_swallowed_is_raised_at_the_next_sign_of_life() -> None:
    presses = Presses()
    before = signal.getsignal(signal.SIGINT)
    progress = Terminal(presses.check)
    with presses.watched():
        progress.say("begun")
        careless = Careless()
        del careless
        assert presses.seen
        with pytest.raises(KeyboardInterrupt):
            progress.say("more")
        with pytest.raises(KeyboardInterrupt), progress.bar("work", 4) as advance:
            advance(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_without_one_nothing_happens() -> None:
    presses = Presses()
    with presses.watched(), Terminal(presses.check).bar("work", 2) as advance:
        advance(2)
    assert not presses.seen


def test_another_thread_cannot_watch_and_need_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with Presses().watched():
                assert signal.getsignal(signal.SIGINT) is before
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []


def test_sigterm_is_as_good_as_a_key_press() -> None:
    presses = Presses()
    before = signal.getsignal(signal.SIGTERM)
    with presses.watched(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert presses.seen
    assert signal.getsignal(signal.SIGTERM) is before
