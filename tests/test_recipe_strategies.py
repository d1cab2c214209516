from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowres import few_shot, recipe_strategies, registry
from lowres.errors import BaseModelError
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


def test_a_few_labels_train_the_head_at_a_tenth_of_the_strategys_own_rate():
    """At LoRA's, `probe` would learn at a hundredth of its rate, and nothing else of it moves."""
    for name, rate in (("lora", 3e-4), ("gradual", 3e-4), ("head", 3e-3), ("probe", 3e-3)):
        its = {"train": {"strategy": name}, "languages": {"shots": [10]}}
        # as much where the section is absent as where it names another key
        for few in ({}, {"few_shot": {"epochs": 4}}):
            study = recipe(**its, **few)
            assert few_shot.settings(study).head_learning_rate == pytest.approx(rate)
        mine = recipe(**its, few_shot={"head_learning_rate": 1e-2})
        assert few_shot.settings(mine).head_learning_rate == 1e-2
        # it is written out, and read again as it was
        again = Recipe.model_validate(recipe(**its, few_shot={"epochs": 4}).model_dump())
        assert few_shot.settings(again).head_learning_rate == pytest.approx(rate)
        recipe(**its, few_shot={"way": "mixed"})
    full = {"train": {"strategy": "full"}, "few_shot": {"learning_rate": 1e-5}}
    tuned = recipe(**full, languages={"shots": [10]})
    assert few_shot.settings(tuned).head_learning_rate == pytest.approx(2e-5)


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
        ({"train": {"freeze": {"embeddings": True}}}, "train.freeze.embeddings: strategy lora"),
        (
            {"train": {"strategy": "gradual", "freeze": {"embeddings": True}}},
            "train.freeze.embeddings: strategy gradual",
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
    for name in ("full", "lora", "gradual"):
        recipe(train={"strategy": name, "layer_decay": 0.9, "freeze": {"layers": 4}})
    for few in ({"learning_rate": 1e-5}, {"way": "mixed"}):
        recipe(train={"strategy": "full"}, languages={"shots": [10]}, few_shot=few)
    recipe(train={"strategy": "gradual", "layer_decay": 0.5}, lora={"rank": 8, "dora": True})
    recipe(train={"strategy": "probe"}, base={"quantization": "8bit"}, lora={"rank": 16})
    recipe(train={"strategy": "head"}, **ADAPT)


def test_layers_that_do_not_train_anyway_are_not_frozen():
    def both(top, frozen):
        return recipe(lora={"layers": f"top:{top}"}, train={"freeze": {"layers": frozen}})

    said = r"train.freeze.layers 10: lora.layers: top:1 trains none of the lowest 11 of 12 layers"
    with pytest.raises(BaseModelError, match=said):
        recipe_strategies.check_layers(both(1, 10), 12)
    # of the four highest layers the lowest one is frozen
    recipe_strategies.check_layers(both(4, 9), 12)
    recipe_strategies.check_layers(both(4, 0), 12)


def test_all_that_contradicts_is_told_at_once():
    lines = said(
        train={"strategy": "probe", "layer_decay": 0.5, "freeze": {"layers": 1}}, lora={"rank": 2}
    )
    assert len(lines) == 3


def test_what_contradicts_inside_a_section_hides_nothing_between_sections():
    lines = said(
        train={
            "strategy": "head", "freeze": {"layers": 3}, "patience": 2, "checkpoint": "last",
            "batch": 16, "micro_batch": 5,
        },
        languages={"targets": ["eng_Latn"], "shots": [10]},
        few_shot={"way": "mixed", "epochs": 3},
        evaluate={"metrics": ["span_f1"]},
    )  # fmt: skip
    assert [line.split(":")[0].split(" ")[0] for line in lines] == [
        "languages.targets", "train.micro_batch", "train.patience", "few_shot.way",
        "evaluate.metrics", "train.freeze.layers",
    ]  # fmt: skip


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
