from __future__ import annotations

from typing import Any

import pytest

from lowres.errors import RecipeError
from lowres.recipe_loading import digest, from_mapping

PLAIN: dict[str, Any] = {
    "name": "few",
    "base": {"name": "e5-small"},
    "languages": {"source": "eng_Latn", "targets": ["yor_Latn", "swh_Latn"]},
    "data": {"files": "{lang}/{split}.tsv"},
    "task": {"name": "classification"},
}


def recipe(few: dict[str, Any] | None = None, **languages: Any) -> Any:
    sections = {**PLAIN, "languages": {**PLAIN["languages"], **languages}}
    return from_mapping(sections if few is None else {**sections, "few_shot": few})


def test_zero_is_zero_shot_and_draws_are_one_by_default() -> None:
    found = recipe(shots=[0, 10, "all"])
    assert found.languages.shots == (0, 10, "all")
    assert found.languages.draws == 1
    assert found.few_shot is None


def test_a_run_from_before_these_keys_stays_what_it_is() -> None:
    assert digest(recipe(shots=10)) == digest(recipe(shots=10, draws=1))
    assert digest(recipe(shots=10)) != digest(recipe(shots=10, draws=5))
    assert digest(recipe(shots=10)) != digest(recipe({"way": "mixed"}, shots=10))


@pytest.mark.parametrize(
    ("few", "languages", "said"),
    [
        (None, {"draws": 3}, "languages.draws: 3 draws of no examples; say how many in lang"),
        (None, {"draws": 3, "shots": [0]}, "languages.draws: 3 draws of no examples"),
        ({}, {}, "few_shot: says how examples are trained on, and languages.shots asks for none"),
        ({"way": "mixed", "epochs": 3}, {"shots": 5}, "few_shot.way: mixed leaves no use for epo"),
        ({"repeats": 3}, {"shots": 5}, "few_shot.way: continued leaves no use for repeats"),
        ({"way": "mix"}, {"shots": 5}, "few_shot.way"),
        (None, {"shots": [True]}, "expected whole numbers from 0 (zero-shot) on, or all"),
        (None, {"shots": 5, "draws": 0}, "languages.draws"),
        (None, {"source_temperature": 2}, "languages.source_temperature mixes sources, and there"),
    ],
)
def test_what_means_nothing_is_refused(
    few: dict[str, Any] | None, languages: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(few, **languages)
    assert said in str(caught.value)


def test_patience_has_nothing_to_look_at_where_the_last_step_is_kept() -> None:
    with pytest.raises(RecipeError, match=r"train.patience looks at source dev"):
        from_mapping({**PLAIN, "train": {"checkpoint": "last", "patience": 2}})
