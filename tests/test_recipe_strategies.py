from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowres import registry
from lowres.recipe import Recipe, Train
from lowres.recipe_loading import LATER, digest, identity

PLAIN = {
    "name": "study",
    "base": {"name": "e5-small", "quantization": "none"},
    "languages": {"source": "eng_Latn", "targets": ["yor_Latn"]},
    "data": {"files": "{lang}/{split}.tsv"},
    "task": {"name": "classification"},
}


def recipe(**sections):
    plain = dict(PLAIN)
    for name, section in sections.items():
        plain[name] = {**plain.get(name, {}), **section}
    return Recipe.model_validate(plain)


def said(**sections):
    with pytest.raises(ValidationError) as caught:
        recipe(**sections)
    (error,) = caught.value.errors()
    return str(error["ctx"]["error"]).splitlines()


def test_a_name_is_enough():
    for name in registry.names("strategies"):
        by_name = recipe(train={"strategy": name}).train.strategy
        assert by_name == recipe(train={"strategy": {"name": name}}).train.strategy
        assert by_name.name == name
    assert recipe(train={"strategy": {"name": "gradual", "share": 0.2}}).train.strategy.share == 0.2
    schema = Train.model_json_schema()["properties"]["strategy"]
    assert {"type": "string"} in schema["anyOf"]


def test_a_recipe_of_before_is_the_same_study():
    for key in ("train.strategy", "train.freeze", "train.layer_decay"):
        assert key in LATER
    assert not {"strategy", "freeze", "layer_decay"} & identity(recipe())["train"].keys()
    written = {"strategy": "lora", "freeze": {"layers": 0}, "layer_decay": 1}
    others = ({"strategy": "head"}, {"freeze": {"layers": 1}}, {"layer_decay": 0.9})
    assert digest(recipe(train=written)) == digest(recipe())
    assert len({digest(recipe(train=one)) for one in ({}, *others)}) == 4


def test_a_strategy_has_rates_of_its_own_where_none_are_named():
    default = recipe().train
    full = recipe(train={"strategy": "full"}).train
    assert (full.learning_rate, full.head_learning_rate) == (2e-5, 2e-4)
    assert full.learning_rate < default.learning_rate
    mine = recipe(train={"strategy": "full", "learning_rate": 1e-4}).train
    assert (mine.learning_rate, mine.head_learning_rate) == (1e-4, 2e-4)
    for name in ("lora", "gradual", "head", "probe"):
        other = recipe(train={"strategy": name}).train
        assert other.learning_rate == default.learning_rate
        alone = name in ("head", "probe")
        assert other.head_learning_rate == (3e-2 if alone else default.head_learning_rate)


ADAPT = {
    "text": {"files": "{lang}.txt"},
    "adapt": {"objective": "mlm"},
}


@pytest.mark.parametrize(
    ("sections", "starts"),
    [
        ({"train": {"strategy": "full"}, "base": {"quantization": "8bit"}}, "base.quantization: "),
        ({"train": {"strategy": "full"}, "base": {"quantization": "4bit"}}, "base.quantization: "),
        ({"train": {"strategy": "full"}, "lora": {"rank": 8}}, "lora.rank: strategy full"),
        ({"train": {"strategy": "probe"}, "lora": {"dora": True}}, "lora.dora: strategy probe"),
        ({"train": {"strategy": "head", "layer_decay": 0.5}}, "train.layer_decay: strategy head"),
        ({"train": {"strategy": "probe", "layer_decay": 0.5}}, "train.layer_decay: strategy probe"),
        ({"train": {"strategy": "head", "freeze": {"layers": 2}}}, "train.freeze.layers: strategy"),
        (
            {"train": {"strategy": "probe", "freeze": {"embeddings": True}}},
            "train.freeze.embeddings: strategy probe",
        ),
        ({"train": {"strategy": "full"}, **ADAPT}, "adapt: a language adapter"),
        (
            {"train": {"strategy": "full"}, "languages": {"shots": [10]}},
            "few_shot.learning_rate: its default",
        ),
        (
            {"train": {"strategy": "full"}, "tokenizer": {"trim": {}}},
            "tokenizer.trim: it changes the table",
        ),
    ],
)
def test_what_contradicts_is_one_line(sections, starts):
    (line,) = said(**sections)
    assert line.startswith(starts)
    assert any(word in line for word in ("leave", "set ", "name one"))


def test_what_goes_together_is_let_through():
    freeze = {"embeddings": True}
    recipe(train={"strategy": "full", "freeze": freeze}, tokenizer={"trim": {}})
    recipe(train={"strategy": "full", "layer_decay": 0.9, "freeze": {"layers": 4}})
    for few in ({"learning_rate": 1e-5}, {"way": "mixed"}):
        recipe(train={"strategy": "full"}, languages={"shots": [10]}, few_shot=few)
    recipe(train={"strategy": "gradual", "layer_decay": 0.5}, lora={"rank": 8, "dora": True})
    recipe(train={"strategy": "probe"}, base={"quantization": "8bit"}, lora={"rank": 16})
    recipe(train={"strategy": "head"}, **ADAPT)


def test_all_that_contradicts_is_told_at_once():
    lines = said(
        train={"strategy": "probe", "layer_decay": 0.5, "freeze": {"layers": 1}}, lora={"rank": 2}
    )
    assert len(lines) == 3


@pytest.mark.parametrize(
    "train",
    [
        {"layer_decay": 0},
        {"layer_decay": 1.1},
        {"freeze": {"layers": -1}},
        {"strategy": {"name": "gradual", "share": 0}},
        {"strategy": {"name": "lora", "share": 0.5}},
        {"strategy": "none"},
    ],
)
def test_values_that_cannot_be(train):
    with pytest.raises(ValidationError):
        recipe(train=train)


@pytest.mark.parametrize("layers", [1, 2, 12])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_gradual_opens_from_one_to_all_and_never_closes(layers, share):
    options = registry.module("strategies", "gradual").Options(name="gradual", share=share)
    steps = 200
    counts = [options.open_layers(layers, step / steps) for step in range(steps)]
    assert counts[0] == 1
    assert counts[-1] == layers
    assert counts == sorted(counts)
    assert set(counts) == set(range(1, layers + 1))
    opened = [counts.index(count) / steps for count in range(1, layers + 1)]
    # equal times between, the last of them ending at `share`
    assert opened == pytest.approx([share * at / layers for at in range(layers)], abs=1 / steps)
    assert options.opens()
