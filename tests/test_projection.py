from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.metrics.span_f1 import spans
from lowres.projection import Aligner, project, split

# made up, with the adjective behind its noun
WORDS = {
    "the": "ma", "old": "keu", "river": "bo", "runs": "tali", "to": "fi", "Lagos": "Eko",
    "and": "na", "from": "wa", "Ada": "Ada", "market": "oja",
}  # fmt: skip


def corpus(count: int = 80) -> list[tuple[list[str], list[str]]]:
    draw, pairs = random.Random(1), []
    for _ in range(count):
        words = draw.sample(list(WORDS), draw.randint(3, 6))
        target = [WORDS[word] for word in words]
        target.reverse()
        pairs.append((words, target))
    return pairs


def test_words_are_linked_across_another_order() -> None:
    aligner = Aligner(corpus())
    source = ["the", "old", "river", "runs", "to", "Lagos"]
    target = ["Eko", "fi", "tali", "bo", "keu", "ma"]
    assert aligner.links(source, target) == [5, 4, 3, 2, 1, 0]


def test_names_that_stay_are_linked_without_any_counts() -> None:
    links = Aligner([]).links(["Ada", "Obi", "left", "Ada"], ["Ada", ",", "Obi", "Ada"])
    # the nearer one of two equal words
    assert links == [0, None, 1, 3]


def test_signs_are_each_others_and_no_word_is_a_sign() -> None:
    assert Aligner([]).links(["Ada", "."], [".", "!"]) == [1, None]


def test_a_span_is_from_its_first_to_its_last_aligned_word() -> None:
    tags = ["B-LOC", "I-LOC", "O", "B-PER"]
    found = project(tags, [3, 1, None, 0, 2])
    assert found.tags == ("B-PER", "B-LOC", "I-LOC", "I-LOC", "O")
    assert (found.spans, found.lost) == (2, 0)


def test_a_span_whose_words_are_apart_or_gone_is_lost() -> None:
    tags = ["B-LOC", "I-LOC", "O"]
    apart = project(tags, [0, 2, 1])
    assert (apart.tags, apart.lost) == (("O", "O", "O"), 1)
    gone = project(tags, [2, None])
    assert (gone.tags, gone.lost) == (("O", "O"), 1)


def test_marks_and_words_are_parted_in_any_script() -> None:
    assert split("Ọ̀gá, l’Afrique (2024)!") == ["Ọ̀gá", ",", "l’Afrique", "(", "2024", ")", "!"]
    assert split("ⴰⵎⴰⵏ ⴷ ⵜⵍⵍⴰ.") == ["ⴰⵎⴰⵏ", "ⴷ", "ⵜⵍⵍⴰ", "."]
    assert split(" ") == []


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_what_is_projected_is_legal_and_never_more_than_there_was(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 8))
    tags = ["O"] * length
    for at in range(length):
        kind = data.draw(st.sampled_from(["O", "B-PER", "B-LOC"]))
        before = tags[at - 1][2:] if at and tags[at - 1] != "O" else ""
        tags[at] = f"I-{before}" if before and data.draw(st.booleans()) else kind
    links = data.draw(st.lists(st.none() | st.integers(0, length - 1), min_size=1, max_size=9))
    found = project(tags, links)
    assert len(found.tags) == len(links)
    assert len(spans(found.tags)) == found.spans - found.lost
    for at, tag in enumerate(found.tags):
        if tag.startswith("I-"):
            assert found.tags[at - 1] in (f"B-{tag[2:]}", tag)
        link = links[at]
        # a word that is aligned has the kind of the word that it is of
        if tag != "O" and link is not None:
            assert tags[link][2:] == tag[2:]


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(5)), st.sampled_from([1, 2]))
def test_any_order_that_keeps_a_span_together_keeps_it_whole(order: list[int], width: int) -> None:
    tags = ["B-LOC", *["I-LOC"] * (width - 1), *["O"] * (5 - width)]
    places = sorted(order.index(at) for at in range(width))
    together = places == list(range(places[0], places[0] + width))
    found = project(tags, list(order))
    assert found.lost == (not together)
    if together:
        assert [at for at, tag in enumerate(found.tags) if tag != "O"] == places
