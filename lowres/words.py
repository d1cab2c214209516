"""A word, the punctuation at its ends, and the form in which words are looked up."""

from __future__ import annotations

import unicodedata


def parted(word: str) -> tuple[str, str, str]:
    """What is before the first letter, mark or digit, the word up to the last, and what is behind.

    All of it is before where there is none.
    """
    start, end = 0, len(word)
    while start < end and not _counts(word[start]):
        start += 1
    while end > start and not _counts(word[end - 1]):
        end -= 1
    return word[:start], word[start:end], word[end:]


def form(word: str) -> str:
    """One and the same for a word however it is capitalised, composed and set in punctuation;
    empty for punctuation alone."""
    return unicodedata.normalize("NFC", parted(word)[1].casefold())


def _counts(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
