"""Normal draws with the moments of the old rows: what a row is worth before anything is known."""

from __future__ import annotations

from lowres.embedding_inits import Start, Started, matched_moments

NEEDS: tuple[str, ...] = ()


def rows(start: Start) -> Started:
    """A row of random numbers a piece, the same for the same seed."""
    count = len(start.pieces)
    return Started(matched_moments(start, count), ("random",) * count)
