from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowres import registry
from lowres.recipe import Recipe
from lowres.recipe_loading import digest, from_mapping
from lowres.recipe_text import Adapt, Extend, Text, Trim


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


def test_sections_on_raw_text_are_absent_unless_they_are_written():
    recipe = from_mapping(mapping())
    assert (recipe.text, recipe.tokenizer, recipe.adapt) == (None, None, None)
    assert recipe.languages.shots == ()


def test_sections_on_raw_text_have_their_defaults():
    recipe = from_mapping(
        mapping(
            languages={"source": "eng_Latn", "targets": "yor_Latn", "shots": [10, "all"]},
            text={"files": "text/{lang}.txt", "translations": "text/eng_Latn.txt"},
            tokenizer={"extend": {}},
            adapt={},
        )
    )
    assert recipe.languages.shots == (10, "all")
    assert (recipe.text.languages, recipe.text.held_out) == ("targets", 300)
    extend = recipe.tokenizer.extend
    assert (extend.pieces, extend.init, extend.prebuilt, extend.keep) == ("auto", "auto", (), ())
    assert recipe.tokenizer.trim is None
    adapt = recipe.adapt
    assert (adapt.objective, adapt.per_language, adapt.controls) == ("align", False, True)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ("text/{lang}.txt", "text/yor_Latn.txt"),
        ("all.txt", "all.txt"),
        ({"yor-Latn": "a.txt"}, "a.txt"),
        ({"hau_Latn": "a.txt"}, None),
    ],
)
def test_where_the_raw_text_of_a_language_is(files, found):
    text = from_mapping(mapping(text={"files": files})).text
    assert text.path("files", "yor_Latn") == found
    assert text.path("translations", "yor_Latn") is None


def test_shots_may_stand_without_brackets():
    for given in (10, "all"):
        languages = {"source": "eng_Latn", "targets": "yor_Latn", "shots": given}
        assert from_mapping(mapping(languages=languages)).languages.shots == (given,)


def test_prebuilt_pieces_need_no_text():
    recipe = from_mapping(mapping(tokenizer={"extend": {"prebuilt": "xlmr-tzm_Tfng"}}))
    assert recipe.tokenizer.extend.prebuilt == ("xlmr-tzm_Tfng",)


RAW = {"files": "{lang}.txt"}
PARALLEL = {**RAW, "translations": "eng.txt"}
BOTH = {"source": "eng_Latn", "targets": "yor_Latn", "shots": 10}


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"adapt": {}}, "adapt needs raw text: give text.files"),
        (
            {"text": RAW, "adapt": {}},
            "adapt.objective: align learns from parallel text: give text.translations",
        ),
        (
            {"text": RAW, "adapt": {"objective": "both"}},
            "adapt.objective: both learns from parallel text",
        ),
        ({"text": RAW, "adapt": {"objective": "aling"}}, "did you mean 'align'?"),
        ({"tokenizer": {"extend": {}}}, "tokenizer.extend needs raw text to learn from"),
        ({"tokenizer": {}}, "give tokenizer.extend or tokenizer.trim"),
        (
            {"text": RAW, "tokenizer": {"extend": {"init": "align"}}},
            "tokenizer.extend.init: align needs text.translations",
        ),
        (
            {"text": PARALLEL, "tokenizer": {"extend": {"init": "lexicon"}}},
            "tokenizer.extend.init: lexicon needs text.lexicon",
        ),
        ({"text": PARALLEL, "tokenizer": {"extend": {"init": "fokus"}}}, "did you mean 'focus'?"),
        (
            {"text": PARALLEL, "languages": BOTH, "adapt": {"per_language": True}},
            "languages.shots: examples of a target cannot train beside the source's",
        ),
        ({"text": PARALLEL, "adapt": {}, "lora": {"dora": True}}, "lora.dora: a language adapter"),
        ({"languages": {**BOTH, "shots": [10, 10]}}, "languages.shots: names a number twice"),
        (
            {"languages": {**BOTH, "shots": -1}},
            "expected whole numbers from 0 (zero-shot) on, or all, not -1",
        ),
    ],
)
def test_sections_on_raw_text_that_cannot_be_together(sections, says):
    with pytest.raises(Exception, match="recipe: ") as caught:
        from_mapping(mapping(**sections))
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


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
        ({"name": "-Capital_Latn"}, "name"),
    ],
)
def test_refused(sections, says):
    with pytest.raises(Exception, match="recipe: ") as caught:
        from_mapping(mapping(**sections))
    assert says in str(caught.value)


def test_a_name_may_hold_capitals_as_language_codes_do():
    assert from_mapping(mapping(name="tzm_Tfng")).name == "tzm_Tfng"


def test_every_task_is_an_option():
    for name in registry.names("tasks"):
        assert from_mapping(mapping(task={"name": name})).task.name == name


def test_two_studies_never_share_a_digest():
    one = digest(from_mapping(mapping()))
    assert one == digest(from_mapping(mapping()))
    assert len({one, *(digest(from_mapping(mapping(seeds=[n]))) for n in range(2, 5))}) == 4
    text = {"text": PARALLEL}
    assert digest(from_mapping(mapping(**text))) != digest(
        from_mapping(mapping(**text, adapt={"objective": "align"}))
    )


def test_every_key_says_what_it_is_for_or_is_clear_by_name():
    clear = {"rank", "alpha", "dropout", "batch", "warmup", "epochs", "weight_decay"}
    sections = {
        name: Recipe.model_fields[name].annotation
        for name in ("base", "languages", "train", "evaluate")
    }
    sections |= {"text": Text, "tokenizer.extend": Extend, "tokenizer.trim": Trim, "adapt": Adapt}
    bare = {
        f"{name}.{key}"
        for name, section in sections.items()
        for key, field in section.model_fields.items()
        if not field.description and key not in clear
    }
    assert bare <= {
        "train.label_smoothing", "train.gradient_checkpointing", "train.report_to",
    }  # fmt: skip
