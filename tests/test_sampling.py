from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lowres.sampling import MEGA_BATCHES, LengthGrouped

lengths = st.lists(st.integers(1, 128), min_size=1, max_size=300)
batches = st.integers(1, 40)
seeds = st.integers(0, 2**32)


def epoch_of(order: LengthGrouped, epoch: int) -> list[int]:
    order.set_epoch(epoch)
    return list(order)


@given(lengths, batches, seeds, st.integers(0, 50))
def test_the_order_is_a_function_of_seed_and_epoch(lengths, batch, seed, epoch):
    one, other = (LengthGrouped(lengths, batch, seed) for _ in range(2))
    for drawn in range(3):  # what was drawn before changes nothing
        epoch_of(other, drawn)
    assert epoch_of(one, epoch) == epoch_of(other, epoch)


@given(lengths, batches, seeds, st.integers(0, 50))
def test_every_window_is_seen_and_every_batch_is_full(lengths, batch, seed, epoch):
    order = LengthGrouped(lengths, batch, seed)
    seen = epoch_of(order, epoch)
    assert len(seen) == len(order)
    assert len(seen) % batch == 0
    assert len(seen) - len(lengths) < batch
    counts = Counter(seen)
    assert set(counts) == set(range(len(lengths)))
    assert max(counts.values()) <= -(-batch // len(lengths)) + 1


@given(seeds)
def test_epochs_and_seeds_differ(seed):
    order = LengthGrouped(range(1, 65), 8, seed)
    assert epoch_of(order, 0) != epoch_of(order, 1)
    assert epoch_of(order, 0) != epoch_of(LengthGrouped(range(1, 65), 8, seed + 1), 0)


def test_windows_of_a_batch_are_of_similar_length():
    sizes = [1 + (7 * i) % 128 for i in range(16 * MEGA_BATCHES)]
    grouped = epoch_of(LengthGrouped(sizes, 16, 1), 0)
    rows = [[sizes[i] for i in grouped[start : start + 16]] for start in range(0, len(grouped), 16)]
    assert max(max(row) - min(row) for row in rows) <= 4
    padding = sum(max(row) * len(row) - sum(row) for row in rows)
    assert padding < 0.03 * sum(sizes)
    # and batches come in no order of length
    longest = [max(row) for row in rows]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)
