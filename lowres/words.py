"""A word and the punctuation at its ends."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _pattern() -> Any:
    import regex

    return regex.compile(r"(?s)([^\p{L}\p{M}\p{N}]*)(.*?)([^\p{L}\p{M}\p{N}]*)")


def parted(word: str) -> tuple[str, str, str]:
    """What is before the first letter, mark or digit, the word up to the last, and what is behind.

    All of it is before where there is none.
    """
    before, core, after = _pattern().fullmatch(word).groups()
    return before, core, after
