"""The rows of a piece's translations in a word list."""

from __future__ import annotations

from lowres.embedding_inits import Start, Started, align

NEEDS: tuple[str, ...] = ("lexicon",)


def rows(start: Start) -> Started:
    """As `align`, with the entries of a bilingual lexicon for lines."""
    return align.started(start, start.lexicon)
