from __future__ import annotations

from collections import Counter

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres import shots
from lowres.data import LabelledData
from lowres.errors import DataError
from lowres.recipe_shots import FewShot


def labelled(target_rows: int = 9) -> LabelledData:
    def rows(language: str, count: int) -> Dataset:
        return Dataset.from_list(
            [
                {
                    "id": str(i),
                    "language": language,
                    "text": f"{language} {i}",
                    "label": "abc"[i % 3],
                }
                for i in range(count)
            ]
        )

    train = rows("eng_Latn", 6)
    target = {"nus_Latn": rows("nus_Latn", target_rows)} if target_rows else {}
    return LabelledData(("a", "b", "c"), train, train, {}, target, (), {}, ())


def test_subsets_are_nested_stratified_and_repeatable():
    few, few_ids = shots.add(labelled(), 3, ("nus_Latn",), "label", 1)
    more, more_ids = shots.add(labelled(), 6, ("nus_Latn",), "label", 1)
    assert set(few_ids["nus_Latn"]) < set(more_ids["nus_Latn"])
    assert few_ids == shots.add(labelled(), 3, ("nus_Latn",), "label", 1)[1]
    added = few.train.filter(lambda row: row["language"] == "nus_Latn")
    assert sorted(added["label"]) == ["a", "b", "c"]
    assert len(more.train) == 6 + 6


def test_all_takes_all_and_another_seed_draws_others():
    everything, ids = shots.add(labelled(), "all", ("nus_Latn",), "label", 1)
    assert len(everything.train) == 6 + 9
    assert len(ids["nus_Latn"]) == 9
    draws = {
        tuple(shots.add(labelled(90), 3, ("nus_Latn",), "label", s)[1]["nus_Latn"])
        for s in range(5)
    }
    assert len(draws) > 1


def sentences():
    """Forty sentences with a person, four with a place (one of them beside a person), six empty."""
    person, place = ["O", "B-PER", "I-PER"], ["B-LOC", "O"]
    return [*[person] * 40, *[place] * 3, [*person, *place], *[["O", "O"]] * 6]


@pytest.mark.parametrize("draw", range(1, 9))
def test_a_few_sentences_hold_every_type_of_entity(draw):
    gold = sentences()
    order = shots.ordered(gold, 7, draw)
    assert sorted(order) == list(range(len(gold)))
    first = [{tag[2:] for tag in gold[at]} - {""} for at in order]
    # place, person, none, and again; where a type has no more the others go on
    assert "LOC" in first[0]
    assert first[1] == {"PER"}
    assert first[2] == set()
    assert sum("LOC" in types for types in first[:12]) == 4
    assert sum(not types for types in first[:20]) == 6
    assert shots.ordered(gold, 7, draw) == order
    assert shots.ordered(gold, 8, draw) != order


def test_tags_that_are_no_spans_are_drawn_at_random():
    """By its rarest tag a sentence would be there because of a symbol in it."""
    gold = [["NOUN", "VERB"]] * 40 + [["NOUN", "SYM"]] * 2
    firsts = [set(shots.ordered(gold, seed)[:4]) & {40, 41} for seed in range(20)]
    assert sum(not found for found in firsts) > 10
    assert sorted(shots.ordered(gold, 1)) == list(range(42))


def test_draws_differ_and_the_first_is_the_seeds_own():
    gold = ["a", "b", "c"] * 30
    assert shots.ordered(gold, 7) == shots.ordered(gold, 7, draw=1)
    drawn = {tuple(shots.ordered(gold, 7, draw)[:6]) for draw in range(1, 6)}
    assert len(drawn) == 5
    assert shots.ordered(gold, 7, 2) != shots.ordered(gold, 8, 2)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
)
def test_any_beginning_is_balanced_and_every_example_is_taken_once(gold, seed, draw):
    order = shots.ordered(gold, seed, draw)
    assert sorted(order) == list(range(len(gold)))
    left = Counter(gold)
    for end in range(1, len(gold) + 1):
        taken = Counter(gold[at] for at in order[:end])
        # a label that has examples left is never two behind another
        behind = min((taken[x] for x in left if taken[x] < left[x]), default=max(taken.values()))
        assert max(taken.values()) - behind <= 1


def test_continued_learns_from_the_targets_alone_but_for_what_is_replayed():
    one, _ = shots.add(labelled(), 3, ("nus_Latn",), "label", 1, 1, FewShot())
    assert set(one.train["language"]) == {"nus_Latn"}
    two, _ = shots.add(labelled(), 3, ("nus_Latn",), "label", 1, 1, FewShot(replay=1))
    assert Counter(two.train["language"]) == {"nus_Latn": 3, "eng_Latn": 3}
    most, _ = shots.add(labelled(), 3, ("nus_Latn",), "label", 1, 1, FewShot(replay=9))
    assert Counter(most.train["language"]) == {"nus_Latn": 3, "eng_Latn": 6}
    again, _ = shots.add(labelled(), 3, ("nus_Latn",), "label", 1, 1, FewShot(replay=1))
    assert again.train.to_list() == two.train.to_list()


def test_mixed_repeats_the_targets_examples():
    few = FewShot(way="mixed", repeats=4)
    found, ids = shots.add(labelled(), 3, ("nus_Latn",), "label", 1, 1, few)
    assert Counter(found.train["language"]) == {"nus_Latn": 12, "eng_Latn": 6}
    assert len(ids["nus_Latn"]) == 3


@pytest.mark.parametrize(
    ("rows", "have"),
    [
        (9, "9: ask for 9 at most, or leave these targets out"),
        (0, "0: give training data, or leave nus_Latn out"),
    ],
)
def test_more_than_there_is(rows, have):
    said = rf"languages.shots: 10 training examples of each target .* nus_Latn has {have}"
    with pytest.raises(DataError, match=said):
        shots.add(labelled(rows), 10, ("nus_Latn",), "label", 1)


def test_every_target_that_lacks_examples_is_named_and_zero_lacks_none():
    said = (
        r"100 training examples of each .* tzm_Tfng has 40 \(of tzm_Tfng\), dzo_Tibt has 0 "
        r"\(of dzo_Tibt\): ask for 40 at most, and leave dzo_Tibt out"
    )
    with pytest.raises(DataError, match=said):
        shots.check(
            {"nus_Latn": 100, "tzm_Tfng": 40},
            (0, 10, 100, "all"),
            ("nus_Latn", "tzm_Tfng", "dzo_Tibt"),
            lambda code: f"of {code}",
        )
    shots.check({}, (0,), ("nus_Latn",))
    with pytest.raises(DataError, match=r"all training examples of each .* nus_Latn has 0"):
        shots.check({}, (0, "all"), ("nus_Latn",))
