from __future__ import annotations

import pytest
from datasets import Dataset

from lowres import shots
from lowres.data import LabelledData
from lowres.errors import DataError


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


def test_tags_are_drawn_without_strata():
    assert sorted(shots.ordered([["O"], ["B-PER"], ["O"]], 1)) == [0, 1, 2]


@pytest.mark.parametrize(("rows", "have"), [(9, "9"), (0, "0")])
def test_more_than_there_is(rows, have):
    with pytest.raises(DataError, match=rf"languages.shots: 10 of nus_Latn.*holds {have} examples"):
        shots.add(labelled(rows), 10, ("nus_Latn",), "label", 1)
