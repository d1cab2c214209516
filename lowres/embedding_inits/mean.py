"""The mean of the old pieces that the new one's text falls into; random where it had none."""

from __future__ import annotations

import numpy as np

from lowres.embedding_inits import Start, Started, matched_moments, mixed

NEEDS: tuple[str, ...] = ()


def rows(start: Start) -> Started:
    """The mean of the old rows of each piece, as long as they are on average."""
    values = matched_moments(start, len(start.pieces))
    provenance = []
    for index, old in enumerate(start.old):
        known = np.array([i for i in old if i != start.unknown_id], dtype=np.int64)
        if len(known):
            values[index] = mixed(start.table, known, np.ones(len(known)))
            provenance.append(f"mean of {len(known)}: {' '.join(map(str, known))}")
        else:
            provenance.append("random")
    return Started(values, tuple(provenance))
