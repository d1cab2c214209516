"""lowres/pairing.py: translations are told from shuffled ones."""

import random

import pytest

from lowres import pairing
from lowres.diagnose import english_lines


def turned(lines: list[list[str]]) -> list[list[str]]:
    """A language of its own, word by word, and in another order."""
    return [[word.lower()[::-1] + "u" for word in reversed(line)] for line in lines]


@pytest.fixture
def texts() -> list[list[str]]:
    return [line.split() for line in english_lines()][:72]


def test_translations_are_above_chance_and_shuffled_ones_are_not(texts: list[list[str]]) -> None:
    made = turned(texts)
    assert pairing.above_chance(texts, made)
    for seed in range(3):
        shuffled = random.Random(seed).sample(made, len(made))
        assert not pairing.above_chance(texts, shuffled), seed


def test_where_all_are_as_long_the_words_tell(texts: list[list[str]]) -> None:
    draw = random.Random(1)
    words = [f"w{number:02}" for number in range(40)]
    same = [draw.sample(words, 6) for _ in range(60)]
    made = turned(same)
    assert pairing.lengths(same, made) == 0.0
    assert pairing.above_chance(same, made)
    assert not pairing.above_chance(same, made[1:] + made[:1])


def test_of_few_nothing_is_said(texts: list[list[str]]) -> None:
    few = texts[: pairing.FEWEST - 1]
    assert pairing.above_chance(few, turned(few)[::-1])


def test_equal_lengths_share_a_place() -> None:
    assert pairing._ranks([3, 1, 3, 2]).tolist() == [3.5, 1.0, 3.5, 2.0]
