from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowres import registry
from lowres.recipe import Recipe
from lowres.recipe_loading import digest, from_mapping


def mapping(**sections):
    plain = {
        "name": "study",
        "base": {"name": "e5-small"},
        "languages": {"source": "eng_Latn", "targets": ["yor_Latn"]},
        "data": {"files": "{lang}/{split}.tsv"},
        "task": {"name": "classification"},
    }
    return plain | sections


def test_the_least_recipe_has_all_defaults():
    recipe = from_mapping(mapping())
    assert (recipe.base.quantization, recipe.lora.rank, recipe.seeds) == ("8bit", 16, (1,))
    assert recipe.languages.source == ("eng_Latn",)
    assert recipe.data.source is None
    assert recipe.data.unseen_labels == "error"


def test_one_language_may_stand_without_brackets_and_codes_are_made_canonical():
    recipe = from_mapping(
        mapping(
            languages={"source": "eng-Latn", "targets": "YOR_latn"},
            data={"files": "{lang}.{split}.tsv", "names": {"yor-Latn": "yoruba"}},
            seeds=7,
            train={"report_to": "tensorboard"},
        )
    )
    assert recipe.languages.targets == ("yor_Latn",)
    assert recipe.data.names == {"yor_Latn": "yoruba"}
    assert recipe.seeds == (7,)
    assert recipe.train.report_to == ("tensorboard",)


def test_a_recipe_never_changes_after_loading():
    recipe = from_mapping(mapping())
    with pytest.raises(ValidationError):
        recipe.name = "other"
    with pytest.raises(ValidationError):
        recipe.lora.rank = 1


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"languages": {"source": [], "targets": ["yor_Latn"]}}, "languages.source is empty"),
        ({"languages": {"source": "eng_Latn", "targets": []}}, "languages.targets is empty"),
        ({"seeds": [2**32]}, "whole numbers from 0 to"),
        (
            {"languages": {"source": "eng_Latn", "targets": ["yor_Latn", "yor-Latn"]}},
            "names yor_Latn twice",
        ),
        ({"languages": {"source": "eng_Latn", "targets": "eng-Latn"}}, "both source and target"),
        ({"languages": {"source": "eng_Latn", "targets": ["yorr_Latn"]}}, "language code"),
        ({"languages": {"source": 3, "targets": []}}, "languages.source"),
        ({"data": {}}, "data names no data"),
        ({"data": {"files": "{lang}", "source": {}}}, "data.source names no data"),
        ({"data": {"hub": "xnli"}}, "namespace/name"),
        ({"data": {"files": "x", "labels": {"a": 1}}}, "data.labels.a"),
        ({"data": {"files": "x", "splits": {"training": "a"}}}, "data.splits"),
        ({"train": {"batch": 16, "micro_batch": 5}}, "5 does not divide train.batch 16"),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"report_to": ["mlflow"]}}, "train.report_to"),
        ({"evaluate": {"metrics": ["macro-f1"]}}, "did you mean 'macro_f1'?"),
        ({"evaluate": {"baselines": ["tf-idf"]}}, "did you mean 'tfidf'?"),
        ({"seeds": []}, "seeds must be"),
        ({"seeds": [1, 1]}, "seeds must be"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"name": "Has Spaces"}, "name"),
    ],
)
def test_refused(sections, says):
    with pytest.raises(Exception, match="recipe: ") as caught:
        from_mapping(mapping(**sections))
    assert says in str(caught.value)


def test_every_task_is_an_option():
    for name in registry.names("tasks"):
        assert from_mapping(mapping(task={"name": name})).task.name == name


def test_two_studies_never_share_a_digest():
    one = digest(from_mapping(mapping()))
    assert one == digest(from_mapping(mapping()))
    assert len({one, *(digest(from_mapping(mapping(seeds=[n]))) for n in range(2, 5))}) == 4


def test_every_key_says_what_it_is_for_or_is_clear_by_name():
    clear = {"rank", "dropout", "batch", "text", "text_pair", "label", "tokens", "tags", "id"}
    bare = {
        f"{section}.{key}"
        for section in ("base", "languages", "train", "evaluate")
        for key, field in Recipe.model_fields[section].annotation.model_fields.items()
        if not field.description and key not in clear
    }
    assert bare <= {
        "train.epochs", "train.weight_decay", "train.label_smoothing",
        "train.gradient_checkpointing", "train.report_to",
    }  # fmt: skip
