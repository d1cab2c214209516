from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.words import form, parted


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


def test_a_long_run_of_punctuation_takes_no_time():
    assert parted(f"a{'-' * 200_000}b{'-' * 200_000}")[2] == "-" * 200_000


@given(st.text())
def test_one_form(word):
    import unicodedata

    assert form(f"({word}!") == form(word) == form(form(word))
    assert form(unicodedata.normalize("NFD", word)) == form(word)
