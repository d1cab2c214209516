from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.mixing import Mixed, counts, shares


def test_shares_are_of_the_paper() -> None:
    assert shares([100, 300], 1) == pytest.approx([0.25, 0.75])
    # 900^(1/2) : 100^(1/2) = 3 : 1
    assert shares([900, 100], 2) == pytest.approx([0.75, 0.25])
    assert shares([10**9, 1], 1000) == pytest.approx([0.505, 0.495], abs=0.01)
    assert shares([10**9, 10], 0.01) == pytest.approx([1.0, 0.0])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=12), st.floats(0.05, 1000))
def test_an_epoch_has_as_many_windows_as_before_and_of_each_language_one(sizes, temperature):
    found = counts(sizes, temperature)
    assert sum(found) == sum(sizes)
    assert min(found) >= 1
    if temperature == 1:
        assert found == sizes


def order(languages: list[str], temperature: float, epoch: int = 0, seed: int = 1) -> list[int]:
    sampler = Mixed(list(range(1, len(languages) + 1)), 8, seed, languages, temperature)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_small_sources_come_more_often_and_no_window_of_a_large_one_twice() -> None:
    languages = ["a"] * 60 + ["b"] * 20
    found = order(languages, 1000)
    assert len(found) == 80
    assert Counter(languages[at] for at in found) == {"a": 40, "b": 40}
    times = Counter(found)
    assert {times[at] for at in range(60, 80)} == {2}
    assert max(times[at] for at in range(60)) == 1
    # another draw of the large one in each epoch
    assert set(found) != set(order(languages, 1000, epoch=1))


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    languages = ["a"] * 50 + ["b"] * 7
    np.random.seed(3)
    one = order(languages, 3, 2)
    np.random.seed(4)
    assert one == order(languages, 3, 2)
    assert one != order(languages, 3, 2, seed=2)


def test_at_temperature_one_every_window_comes_once() -> None:
    languages = ["a"] * 50 + ["b"] * 6
    assert sorted(order(languages, 1)) == list(range(56))
