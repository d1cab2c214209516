from __future__ import annotations

import random

import numpy as np
import pytest

from lowres import style

SENTENCE = ("The market sells fruit", "A doctor, they say, was late", "In 1998 the river rose")
WORDS = ("ⵜⵓⵙⵓⵇⵜ", "ⴰⵎⵊⵊⴰⵢ", "ⴰⵙⵉⴼ", "ⴷⴰ")


def written(count: int, seed: int, ending: str = ".") -> list[str]:
    draw = random.Random(seed)
    return [f"{draw.choice(SENTENCE)} {draw.randint(1, 9)}{ending}" for _ in range(count)]


def read(texts: list[str], script: str = "Latn") -> style.Written:
    found = style.read(texts, [f"und_{script}"] * len(texts))
    assert found is not None
    return found


def test_two_draws_of_one_kind_are_near() -> None:
    found = style.distance(read(written(200, 1)), read(written(200, 2)))
    assert found.value < 0.5
    assert found.low <= found.value <= found.high
    assert found.n == 400


def test_tweets_are_far_and_it_is_said_why() -> None:
    tweets = [f"@user {text} 😀😀" for text in written(200, 2, "")]
    found = style.distance(read(written(200, 1)), read(tweets))
    assert found.value > 1.8
    assert found.low > 1.5
    assert set(found.apart) & {"more emoji", "more mentions and hashtags"}


def test_another_language_alone_is_no_distance() -> None:
    """Neither letters that nobody shares nor a script without capitals."""
    draw = random.Random(3)
    other = []
    for text in written(200, 2):
        kept = [word if word[0].isdigit() else draw.choice(WORDS) for word in text.split()]
        signs = [sign for sign in text if sign in ".,"]
        body = " ".join(kept).rstrip(".")
        other.append(body.replace(" ", ", ", signs.count(",")) + ".")
    found = style.distance(read(written(200, 1)), read(other, "Tfng"))
    assert found.value < 0.8
    assert not any("capital" in why for why in found.apart)


def test_a_script_without_commas_is_not_held_against_a_language() -> None:
    lines = [text.replace(".", "").replace(",", "") for text in written(200, 2)]
    latin, thai = read(lines), read(lines, "Thai")
    source = read(written(200, 1))
    assert style.distance(source, latin).value > 1.5
    assert style.distance(source, thai).value < 0.8


def test_the_same_texts_give_the_same_figure() -> None:
    first, second = read(written(60, 1)), read(written(60, 2, "!"))
    assert style.distance(first, second) == style.distance(first, second)


@pytest.mark.parametrize("texts", [[], ["", " "] * 50, written(style.FEWEST - 1, 1)])
def test_of_too_few_texts_nothing_is_said(texts: list[str]) -> None:
    assert style.read(texts, ["und_Latn"] * len(texts)) is None


def test_several_sources_count_together() -> None:
    """Whichever stands first: what one of them lacks is compared in none."""
    latin = [f"The {text}" for text in written(100, 1)]
    thai = [text.replace(".", "").replace(",", "").lower() for text in written(100, 2)]
    both = [*latin, *thai]
    for texts, codes in (
        (both, ["eng_Latn"] * 100 + ["tha_Thai"] * 100),
        (both[::-1], ["tha_Thai"] * 100 + ["eng_Latn"] * 100),
    ):
        found = style.read(texts, codes)
        assert found is not None
        assert (found.cased, found.phrased) == (False, False)
    # of one language alone half the texts would be enough for capitals
    assert read(both).cased
    assert read(both).phrased


def test_each_source_has_its_own_usual_length() -> None:
    texts = ["word " * 5] * 30 + ["word " * 50] * 30
    length = style._NAMES.index("length")
    apart = style.read(texts, ["eng_Latn"] * 30 + ["kin_Latn"] * 30)
    assert apart is not None
    assert not apart.rows[:, length].any()
    assert read(texts).rows[:, length].any()


def test_vectors_have_a_distance_too() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 60, 8))
    near, far = style.of_vectors(first, second), style.of_vectors(first, second + 5)
    assert near is not None
    assert far is not None
    assert near.value < 0.6
    assert (far.value, far.n, far.apart) == (2.0, 120, ())
    assert style.of_vectors(first, second[: style.FEWEST - 1]) is None
