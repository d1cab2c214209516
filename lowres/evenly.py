"""So many of a list, evenly out of all of it: what is looked at where all would take too long."""

from __future__ import annotations

import numpy as np


def places(count: int, most: int) -> list[int]:
    """Of `count` things the places of `most`, in rising order, the first and the last among them;
    all where there are no more."""
    if count <= most:
        return list(range(count))
    return sorted({int(at) for at in np.linspace(0, count - 1, most)})
