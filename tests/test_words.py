from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.words import parted


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("«The", ("«", "The", "")),
        ("sides:", ("", "sides", ":")),
        ("don't.", ("", "don't", ".")),
        ("...", ("...", "", "")),
        ("ⵉⵍⵍⵏ!", ("", "ⵉⵍⵍⵏ", "!")),
        ("(kä̱)", ("(", "kä̱", ")")),
        ("a\nb\n", ("", "a\nb", "\n")),
        ("", ("", "", "")),
    ],
)
def test_punctuation_at_the_ends(word, parts):
    assert parted(word) == parts


@given(st.text())
def test_nothing_is_lost(word):
    assert "".join(parted(word)) == word
