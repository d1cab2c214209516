from __future__ import annotations

import hashlib
import json

import pytest
import yaml

from lowres import recipe_loading
from lowres.errors import RecipeError
from lowres.recipe_faults import dotted
from lowres.recipe_loading import dump, find, load, shipped

RECIPE = """\
name: study
base: {name: e5-small}
languages:
  source: eng_Latn
  targets:
    - yor_Latn
    - hau_Latn
data:
  files: a/{lang}/{split}.tsv
task: {name: classification}
"""


@pytest.fixture
def study(tmp_path):
    def write(text=RECIPE):
        path = tmp_path / "study.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def faults(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load(path, overrides)
    return [fault.removeprefix(f"{path}:") for fault in caught.value.faults]


def test_shipped_recipes_are_found_by_name_and_by_path(study, tmp_path, monkeypatch):
    assert "quickstart" in shipped()
    assert find("quickstart") == shipped()["quickstart"]
    assert str(find(study())) == study()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(RECIPE)
    assert load("quickstart").name == "study", "a file of that name here is meant"


def test_inside_a_wheel_recipes_are_in_the_package(tmp_path, monkeypatch):
    (tmp_path / "_recipes" / "more").mkdir(parents=True)
    (tmp_path / "_recipes" / "more" / "mine.yaml").write_text(RECIPE)
    monkeypatch.setattr(recipe_loading.registry, "PACKAGE_DIR", tmp_path)
    assert list(shipped()) == ["mine"]


@pytest.mark.parametrize(
    ("override", "at", "expected"),
    [
        ("lora.rank=8", "lora.rank", 8),
        ("lora.alpha=1.5", "lora.alpha", 1.5),
        ("train.steps=null", "train.steps", None),
        ("train.gradient_checkpointing=true", "train.gradient_checkpointing", True),
        ("seeds=[1,2]", "seeds", (1, 2)),
        ("seeds=3", "seeds", (3,)),
        ("languages.targets=[swh_Latn,lao_Laoo]", "languages.targets", ("swh_Latn", "lao_Laoo")),
        ("languages.targets=lao-Laoo", "languages.targets", ("lao_Laoo",)),
        ("data.files=../s/{lang}/{split}.tsv", "data.files", "../s/{lang}/{split}.tsv"),
        ("data.files={lang}/{split}.tsv", "data.files", "{lang}/{split}.tsv"),
        ("data.files='{lang}/{split}.tsv'", "data.files", "{lang}/{split}.tsv"),
        ("data.files={train: a, test: b}", "data.files", {"train": "a", "test": "b"}),
        ("data.config={lang}", "data.config", "{lang}"),
        ("data.labels={DATE: null}", "data.labels", {"DATE": None}),
        ("data.source.files=x/{split}", "data.source.files", "x/{split}"),
        ("question=a = b?", "question", "a = b?"),
        ("text.files={lang}.txt", "text.files", "{lang}.txt"),
        ("text={files: {yor_Latn: a}}", "text.files", {"yor_Latn": "a"}),
        ("languages.shots=[10,all]", "languages.shots", (10, "all")),
        (
            "tokenizer.extend.prebuilt=xlmr-bam_Latn",
            "tokenizer.extend.prebuilt",
            ("xlmr-bam_Latn",),
        ),
        ("base.revision='2024'", "base.revision", "2024"),
    ],
)
def test_overrides(study, override, at, expected):
    value = load(study(), [override])
    for part in at.split("."):
        value = getattr(value, part)
    assert value == expected


def test_later_overrides_win_and_may_fill_an_override_before(study):
    assert load(study(), ["lora.rank=8", "lora.rank=9"]).lora.rank == 9
    recipe = load(study(), ["data={files: b, quoting: none}", "data.quoting=csv"])
    assert (recipe.data.files, recipe.data.quoting) == ("b", "csv")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lora.rank", "expected key=value"),
        ("=8", "expected key=value"),
        ("lora..rank=8", "expected key=value"),
        ("seeds=[1", "not YAML (expected ',' or ']'"),
        ("name=2024-13-45", "month must be in 1..12"),
        ("seeds.x=3", "seeds: expected a list"),
        ("languages.targets.x=y", "targets holds a value, not a section"),
        ("lora.rnak=8", "unknown key lora.rnak; did you mean 'rank'?"),
        ("train.sources=[eng_Latn]", "unknown key train.sources; languages.source: [eng_Latn, "),
        ("lorra.rank=8", "unknown key lorra; did you mean 'lora'?"),
        ("lora.rank=x", "lora.rank: expected a whole number, not 'x'"),
        ("lora.dropout=x", "lora.dropout: expected a number"),
        ("lora.rslora=perhaps", "lora.rslora: expected true or false"),
        ("lora=16", "lora: expected a section"),
        ("data.columns=text", "data.columns: expected a section"),
        ("data.names={nob_Latn: no}", "expected text in quotes"),
        (
            "train.augment=[{name: code_swich}]",
            "unknown way to augment 'code_swich'; did you mean 'code_switch'?",
        ),
        ("train.augment=[code_switch]", "train.augment[0].name is missing: write `- name: code_sw"),
        ("train.augment=[3]", "train.augment[0].name is missing: write `- name: char"),
        ("train.augment=code_switch", "train.augment: expected a list"),
        (
            "train.augment=[{name: word_dropout, share: 2}]",
            "train.augment[0].share: input should be less than 1, not 2",
        ),
        (
            "train.augment=[{name: word_dropout, shre: 0.1}]",
            "unknown key train.augment[0].shre; did you mean 'share'? (known: copies, name, share)",
        ),
        (
            "train.augment=[{name: word_dropout, lexicon: x}]",
            "unknown key train.augment[0].lexicon (known: copies, name, share)",
        ),
        (
            "train.augment=[{name: code_switch, lexicon: 3}]",
            "train.augment[0].lexicon: expected a path, or a path for each language, not 3",
        ),
        (
            "train.augment=[{name: code_switch, lexicon: {}}]",
            "train.augment[0].lexicon: names no file; name one, or leave it out",
        ),
        (
            "train.augment=[{name: entity_swap}]",
            "train.augment[0]: entity_swap changes entities, and task classification has none",
        ),
        (
            "train.augment=[{name: entity_swap, entities: 3}]",
            "train.augment[0].entities: expected a path, or a path for each language, not 3",
        ),
        (
            "train.augment=[{name: entity_swap, entities: {}}]",
            "train.augment[0].entities: names no file; name one, or leave it out",
        ),
        ("task.name=taging", "unknown task 'taging'; did you mean 'tagging'?"),
        ("task={}", "task.name is missing"),
        ("task.nome=x", "unknown key task.nome"),
        ("languages.targets=[yorr_Latn]", "languages.targets[0]"),
        ("languages.targets=[eng_Latn]", "both source and target"),
        ("train.micro_batch=3", "does not divide train.batch 16"),
        ("text.files=3", "text.files: expected a path, or a path for each language, not 3"),
        ("text={files: a, languages: all}", "text.languages[0]: 'all' is no language code"),
        ("tokenizer.extend.pieces=none", "expected auto, or a whole number from 1 to 100000"),
        ("tokenizer=extend", "tokenizer: expected a section"),
        ("adapt.objective=align", "adapt needs raw text: give text.files"),
        (
            "languages.shots=many",
            "expected whole numbers from 0 (zero-shot) on, or all, not 'many'",
        ),
    ],
)
def test_a_fault_of_an_override_names_the_override(study, override, says):
    (fault,) = faults(study(), override)
    assert fault.startswith(f"override {override!r}: ")
    assert says in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RECIPE.replace("targets:", "target:"), ["3: languages.targets is missing", "5: unknown"]),
        (RECIPE.replace("- hau_Latn", "- hauu"), ["7: languages.targets[1]: 'hauu'"]),
        (RECIPE + "seeds: many\n", ["11: seeds: expected a list"]),
        (RECIPE + "lora:\n  rank: x\n  alpha: y\n", ["12: lora.rank", "13: lora.alpha"]),
        (
            RECIPE.replace("data:", "dta:"),
            ["1: data is missing; add it: Labelled", "8: unknown key"],
        ),
        (RECIPE.replace("name: e5-small", ""), ["2: base.name is missing; add it: A name"]),
        (RECIPE + "name: twice\n", ["11: name stands twice (first on line 1)"]),
        (RECIPE.replace("{name: e5-small}", "{name: e5-small"), ["3: not YAML: "]),
        ("name: study\nbase:\n\tname: x\n", ["3: not YAML: "]),
        ("a: &a [*a]\n", ["1: a[0] refers to itself"]),
        ("- just\n- a list\n", ["1: a recipe is a mapping"]),
        ("", ["1: the file is empty; `lowres new"]),
        ("name: study\nbase: 2024-13-01\n", ["2: month must be in 1..12; is it text?"]),
        ("name: study\nbase: a\0b\n", ["2: not YAML: special characters"]),
        ("!!python/object:os.system {}\n", ["1: not YAML: "]),
        (b"name: caf\xe9\n", [" not UTF-8 text (byte 9)"]),
        (
            RECIPE + "text:\n  files: 3\n  translations: [a]\n  held_out: 5\n",
            [
                "12: text.files: expected a path, or a path for each language, not 3",
                "13: text.translations: expected a path, or a path for each language, not ['a']",
                "14: text.held_out: input should be greater than or equal to 20, not 5",
            ],
        ),
        (
            RECIPE + "text:\n  files: {yorr_Latn: a}\n  lexicon: {yor_Latn: 3}\n  languages: []\n",
            [
                "12: text.files.yorr_Latn: 'yorr_Latn' is no language code",
                "13: text.lexicon.yor_Latn: expected text in quotes, not 3",
                "14: text.languages: is empty; name at least one, or write targets",
            ],
        ),
        (
            RECIPE + "text:\n  files: a\n  languages:\n    - yor_Latn\n    - yor-Latn\n",
            ["13: text.languages: names yor_Latn twice"],
        ),
        (RECIPE + "text:\n  file: a\n", ["11: text.files is missing", "12: unknown key text.file"]),
        (
            RECIPE + "tokenizer:\n  extend:\n    peices: 9\n    pieces: 0\n    init: aling\n",
            [
                "14: tokenizer.extend.pieces: expected auto, or a whole number from 1 to 100000",
                "15: tokenizer.extend.init: unknown initialisation 'aling'; did you mean 'align'?",
                "13: unknown key tokenizer.extend.peices; did you mean 'pieces'?",
            ],
        ),
        (
            RECIPE + "tokenizer:\n  trim: {keep_texts: a.txt}\n",
            ["12: unknown key tokenizer.trim.keep_texts; did you mean 'keep_text'?"],
        ),
        (RECIPE + "tokenizer: {}\n", ["11: tokenizer says nothing: give tokenizer.extend or"]),
        (
            RECIPE + "text:\n  files: a\nadapt:\n  epochs: 1\n  objective: both\n",
            ["15: adapt.objective: both learns from parallel text: give text.translations"],
        ),
        (
            RECIPE
            + "text:\n  files: a\n  translations: {yor_Latn: b}\nadapt:\n  objective: align\n",
            ["15: adapt.objective: align learns from parallel text, and text.translations"],
        ),
        (
            RECIPE + "adapt:\n  objective: algin\n  batch: 1\n  learning_rate: .inf\n",
            [
                "12: adapt.objective: unknown objective 'algin'; did you mean 'align'?",
                "13: adapt.batch: input should be greater than or equal to 2, not 1",
                "14: adapt.learning_rate: expected a finite number",
            ],
        ),
        (
            RECIPE.replace("targets:", "shots: [10, -1]\n  targets:"),
            ["5: languages.shots: expected whole numbers from 0 (zero-shot) on, or all, not -1"],
        ),
    ],
)
def test_a_fault_of_the_file_names_its_line(study, text, expected):
    found = faults(study(text))
    assert len(found) == len(expected)
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start), fault


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="is a folder; give the recipe's"):
        load(str(tmp_path))


def test_dump_reads_back_as_the_same_recipe(study):
    recipe = load(study(), ["lora.rank=8", "data.labels={DATE: null}"])
    path = study(dump(recipe))
    assert load(path) == recipe
    assert yaml.safe_load(dump(recipe))["train"]["batch"] == 16, "defaults are written out"


def test_recipes_from_code_have_no_lines():
    with pytest.raises(RecipeError, match=r"^recipe: base is missing"):
        recipe_loading.from_mapping({"name": "x"})


def test_dotted():
    assert dotted(("languages", "targets", 0)) == "languages.targets[0]"
    assert dotted(()) == ""


def test_all_faults_of_the_sections_on_text_are_told_at_once(study):
    more = "adapt: {}\ntokenizer: {extend: {init: lexicon}}\nlora: {dora: true}\n"
    assert [fault.split(": ", 1)[1].split(":")[0] for fault in faults(study(RECIPE + more))] == [
        "adapt needs raw text",
        "tokenizer.extend needs raw text to learn from",
        "tokenizer.extend.init",
        "lora.dora",
    ]


def test_a_key_that_came_later_changes_no_run_that_does_not_use_it(study, monkeypatch):
    path = study()
    before, text = recipe_loading.digest(load(path)), dump(load(path))
    # as if `lora.dora` and `train.augment` had just come
    monkeypatch.setattr(recipe_loading, "LATER", ("lora.dora", "train.augment", "adapt.steps"))
    now = recipe_loading.digest(load(path))
    assert now != before
    old = yaml.safe_load(text)
    del old["lora"]["dora"], old["train"]["augment"]
    monkeypatch.setattr(recipe_loading, "LATER", ())
    plain = json.dumps(old, sort_keys=True)
    assert now == hashlib.sha256(plain.encode()).hexdigest()[:8]
    monkeypatch.setattr(recipe_loading, "LATER", ("lora.dora", "train.augment"))
    used = load(path, ["lora.dora=true"])
    assert recipe_loading.digest(used) not in (now, before)
    assert recipe_loading.same(yaml.safe_dump(old), text)
    assert not recipe_loading.same(yaml.safe_dump(old), dump(used))
    assert not recipe_loading.same("a: [", text)
    assert not recipe_loading.same("a", text)


def test_every_later_key_is_a_key_with_a_default():
    for key in recipe_loading.LATER:
        recipe_loading._default(key)
