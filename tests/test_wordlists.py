"""lowres/wordlists.py: what two texts share."""

import pytest

from lowres import wordlists
from lowres.wordlists import profile, shared


def test_words_are_those_of_the_target_that_the_source_has() -> None:
    mine = profile(["Rumah, rumah besar!", "air 2020 -- ..."])
    theirs = profile(["rumah kecil AIR"])
    assert dict(mine.words) == {"rumah": 2, "besar": 1, "air": 1}
    assert shared(mine, theirs).words == pytest.approx(3 / 4)
    assert shared(theirs, mine).words == pytest.approx(2 / 3)


def test_letters_tell_relatives_apart_where_no_word_is_shared() -> None:
    target = profile(["umntwana uyahamba", "abantwana bayahamba"])
    near = profile(["umfana uyadlala", "abafana bayadlala"])
    far = profile(["le garçon joue", "les garçons jouent"])
    assert shared(target, near).words == shared(target, far).words == 0
    assert shared(target, near).letters > 3 * shared(target, far).letters
    assert shared(target, target).letters == pytest.approx(1.0)
    assert shared(target, near).letters == pytest.approx(shared(near, target).letters)


def test_other_scripts_and_empty_texts_share_nothing() -> None:
    latin, tifinagh = profile(["azul fell-awen"]), profile(["ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ"])
    assert shared(latin, tifinagh) == wordlists.Shared(0.0, 0.0)
    assert shared(profile(["123 ... !"]), latin) == wordlists.Shared(0.0, 0.0)


def test_text_without_spaces_is_cut_and_no_word_grows_without_end() -> None:
    found = profile(["ខ" * 1000])
    assert max(map(len, found.words)) <= wordlists.LONGEST_WORD
    assert sum(found.words.values()) == 25
