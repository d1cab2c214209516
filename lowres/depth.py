"""Where in an encoder a weight lies, by its path: `bert.encoder.layer.7.output.dense` is in 7."""

from __future__ import annotations

import re
from collections.abc import Iterable


def layer_of(path: str) -> int | None:
    """The layer, counted from the bottom; -1 for embeddings, None for what lies outside both (the
    last norm, a head).

    ALBERT's layers share their weights, and are one.
    """
    found = re.search(r"\.(\d+)(\.|$)", path)
    if found is not None:
        return int(found[1])
    return -1 if "embeddings" in path else None


def layers_in(paths: Iterable[str]) -> int:
    """How many layers there are."""
    return 1 + max((layer for path in paths if (layer := layer_of(path)) is not None), default=-1)


def below_top(path: str, layers: int) -> int:
    """0 in the last layer and above it, `layers` in the embeddings."""
    layer = layer_of(path)
    return 0 if layer is None else layers - 1 - layer
