from __future__ import annotations

from lowres import evenly, retrieval


def test_places_are_spread_over_all_of_it() -> None:
    assert evenly.places(3, retrieval.LINES) == [0, 1, 2]
    chosen = evenly.places(10_000, retrieval.LINES)
    assert len(chosen) == len(set(chosen)) == retrieval.LINES
    assert chosen[0] == 0
    assert chosen[-1] > 9_900
    assert chosen == sorted(chosen)
