"""Asking again: what is waited for, what is said. Calls of the Hub are in test_hub_upload.py."""

from __future__ import annotations

import pytest
from publishing import Listening

from lowres import hub_retries
from lowres.errors import HubError
from lowres.hub_retries import Asking


@pytest.fixture
def waits():
    return []


@pytest.fixture
def ask(waits):
    return Asking("ada/topics", "https://hub/ada/topics", Listening([]), waits.append)


def test_what_was_done_although_its_answer_was_lost_is_not_done_again(ask, waits):
    done = []

    def call():
        done.append(1)
        raise ConnectionError("reset")

    assert ask("commit", call, lambda: "made" if done else None) == "made"
    assert done == [1]
    assert waits == [1]


def test_it_ends(ask, waits):
    def call():
        raise ConnectionError("reset")

    with pytest.raises(HubError, match=r"commit: no connection; give the same command again later"):
        ask("commit", call)
    assert waits == list(hub_retries.WAITS_S)


def test_a_bug_is_no_matter_of_the_hub(ask, waits):
    with pytest.raises(ZeroDivisionError):
        ask("commit", lambda: 1 / 0)
    assert waits == []
