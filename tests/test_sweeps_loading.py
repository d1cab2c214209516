"""A sweep's file to its cells, and every fault with its line."""

from __future__ import annotations

import pytest
import tiny_sweep

from lowres import recipe_loading
from lowres.errors import LowresError, RecipeError
from lowres.sweeps import loading


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def text(content):
        file = tmp_path / "s.yaml"
        file.write_text(content, encoding="utf-8")
        return file.relative_to(tmp_path)

    return text


def faults(file, *overrides):
    with pytest.raises(RecipeError) as caught:
        loading.cells(loading.load(file, overrides))
    return list(caught.value.faults)


def test_recipes_times_settings_in_the_order_of_the_file(write):
    file = write(
        "name: s\nrecipe: [quickstart, tiny.yaml]\n"
        "set: {base.name: minilm-en}\n"
        "grid:\n  train.learning_rate: [2e-4, 5e-4]\n  lora.rank: [8, 16, 32]\nseeds: [4, 5]\n"
    )
    text = recipe_loading.shipped()["quickstart"].read_text(encoding="utf-8")
    file.with_name("tiny.yaml").write_text(text.replace("name: quickstart", "name: tiny"))
    cells = loading.cells(loading.load(file))
    assert len(cells) == 2 * 2 * 3
    assert [c.source for c in cells[:6]] == ["quickstart"] * 6
    assert cells[1].settings == (("train.learning_rate", "2e-4"), ("lora.rank", 16))
    assert cells[1].label == "train.learning_rate=2e-4 lora.rank=16"
    for cell in cells:
        assert cell.recipe.seeds == (4, 5)
        assert cell.recipe.base.name == "minilm-en"
        assert cell.name == f"{cell.recipe.name}-{recipe_loading.digest(cell.recipe)}"
    assert (cells[1].recipe.train.learning_rate, cells[1].recipe.lora.rank) == (2e-4, 16)
    assert len({cell.name for cell in cells}) == 12


def test_a_cell_is_the_run_that_lowres_run_makes(write):
    file = write("name: s\nrecipe: quickstart\ngrid: {lora.rank: [8], languages.targets: [[yor]]}")
    (refused,) = faults(file)
    assert refused.startswith("s.yaml:3: languages.targets")
    file = write(
        "name: s\nrecipe: quickstart\ngrid: {lora.rank: [8], languages.targets: [[yor_Latn]]}"
    )
    (cell,) = loading.cells(loading.load(file, ["train.steps=3"]))
    same = ["train.steps=3", "lora.rank=8", "languages.targets=[yor_Latn]"]
    assert cell.recipe == recipe_loading.load("quickstart", same)


def test_without_grid_every_recipe_is_one_cell(write):
    (cell,) = loading.cells(loading.load(write("name: s\nrecipe: quickstart\n")))
    assert cell.settings == ()
    assert cell.label == "quickstart"


def test_one_override_may_go_into_what_another_brought(write):
    file = write(
        "name: s\nrecipe: quickstart\ngrid: {lora: [{rank: 2}, {rank: 3}], train.steps: [1, 2]}\n"
    )
    ranks = [cell.recipe.lora.rank for cell in loading.cells(loading.load(file))]
    assert ranks == [2, 2, 3, 3]


def test_all_faults_of_the_keys_at_once_with_their_lines(write):
    file = write(
        "name: bad\nrecipe: quickstart\nsets: {base.name: e5-small}\n"
        "grid:\n  train.learning_rate: 2e-4\n  lora.rank: []\n"
        "study:\n  trails: 5\n  space:\n    lora.rank: {low: 8, hgh: 9}\n    lora.alpha:\n"
        "      - 8\nworkers: many\n"
    )
    found = {line.split(":")[1]: line for line in faults(file)}
    assert sorted(found, key=int) == ["3", "5", "6", "7", "8", "10", "13"]
    assert "unknown key sets; did you mean 'set'? (known: name, recipe, set" in found["3"]
    assert "grid.train.learning_rate: expected a list, such as [a, b]" in found["5"]
    assert "grid.lora.rank: is empty" in found["6"]
    assert "study.trials is missing; add it: Settings to try" in found["7"]
    assert "did you mean 'trials'?" in found["8"]
    assert "study.space.lora.rank.hgh; did you mean 'high'?" in found["10"]
    assert "workers: expected auto or a whole number, not 'many'" in found["13"]


def test_all_faults_of_all_cells_at_once(write):
    file = write(
        "name: bad\nrecipe: [quickstart, quikstart]\nset:\n  lora.rnk: 8\n"
        "grid:\n  train.learning_rate: [2e-4, fast]\n  lora.rank:\n    - 8\n    - x\n"
    )
    found = faults(file, "train.stepz=3")
    assert sorted(line.split(": ")[0] for line in found) == [
        "no recipe named 'quikstart'; did you mean 'quickstart'? (shipped",
        "override 'train.stepz=3'",
        *("s.yaml:4", "s.yaml:6", "s.yaml:9"),
    ]
    assert "lora.rnk; did you mean 'rank'?" in next(line for line in found if ":4: " in line)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("grid: {lora.rank: [8]}\nset: {lora.rank: 4}", 3, "grid.lora.rank and set.lora.rank set"),
        ("grid: {lora.rank: [8]}\nset: {lora: {rank: 4}}", 3, "grid.lora.rank and set.lora set"),
        ("seeds: [1]\ngrid: {seeds: [1, 2]}", 4, "grid.seeds and seeds set the same key"),
        ("set: {base.name: e5-small}", 3, "set.base.name and override 'base.name=minilm-en' set"),
        ("seeds: [1]\nstudy: {trials: 2, space: {seeds: [1, 2]}}", 4, "space.seeds and seeds set"),
    ],
)
def test_a_key_that_two_places_set(write, text, line, said):
    found = faults(write(f"name: s\nrecipe: quickstart\n{text}\n"), "base.name=minilm-en")
    assert found[0].startswith(f"s.yaml:{line}: ")
    assert said in found[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "grid: {train.learning_rate: [2e-4, 0.0002, 3e-4]}",
            "s.yaml:3: cells 1 (quickstart: train.learning_rate=2e-4) and 2 "
            "(quickstart: train.learning_rate=0.0002) are one and the same run; remove one",
        ),
        ("grid: {lora.rank: [4, 16], publish: [null]}\nset: {lora.alpha: 32}", ""),
        ("grid: {publish: [null, {license: mit}]}", "cells 1 (quickstart: publish=null) and 2"),
        (
            "grid:\n  lora.rank:\n    - 4\n    - 8\n    - 4\n  train.steps: [1]",
            "s.yaml:7: cells 1 (quickstart: lora.rank=4 train.steps=1) and 3 ",
        ),
        (
            "grid: {lora.rank: [4]}\nstudy: {trials: 1, space: {lora.alpha: [1]}}",
            "s.yaml:4: study: there is a grid too; keep one of them",
        ),
    ],
)
def test_cells_that_are_one(write, text, said):
    file = write(f"name: s\nrecipe: quickstart\n{text}\n")
    if not said:
        assert len(loading.cells(loading.load(file))) == 2
    else:
        (found,) = faults(file)
        assert said in found


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        ("{low: 1}", "needs low and high"),
        ("{low: 3, high: 3}", "low 3 is not below high 3"),
        ("{low: 0, high: 3, log: true}", "log needs low above 0"),
        ("{low: 1, high: 3, log: true, step: 1}", "log and step exclude each other"),
        ("{low: 1, high: 3, step: 0}", "step must be above 0"),
        ("{low: 1, high: 3, choices: [1]}", "choices and a range"),
        ("{low: true, high: 3}", "expected a number, not True"),
        ("{low: 1, high: .inf}", "expected a number, not inf"),
        ("{low: 0, high: 8}", "greater than or equal to 1, not 0"),
        ("[]", "is empty"),
        ("[4, many]", "expected a whole number"),
    ],
)
def test_a_study_is_checked_at_its_ends(write, dimension, said):
    text = f"name: s\nrecipe: quickstart\nstudy:\n  trials: 2\n  space:\n    lora.rank: {dimension}"
    (found,) = faults(write(text))
    assert found.startswith("s.yaml:6: ")
    assert said in found


@pytest.mark.parametrize("key", ["languages.targets", "data.files", "seeds", "evaluate.metrics"])
def test_a_study_does_not_search_what_is_measured(write, key):
    file = write(
        f"name: s\nrecipe: quickstart\nstudy:\n  trials: 2\n  space: {{lora.rank: [2],\n"
        f"    {key}: [[swh_Latn]]}}\n"
    )
    (found,) = faults(file)
    assert found.startswith(f"s.yaml:6: study.space.{key}: a study aims at source dev")


def test_a_study_is_of_one_recipe(write):
    text = "name: s\nrecipe: [quickstart, pos-ud]\nstudy: {trials: 2, space: {lora.rank: [2]}}"
    (found,) = faults(write(text))
    assert found.startswith("s.yaml:3: study: is of one recipe, not 2")


def test_no_workers_at_an_address(write):
    text = "address: auto\nworkers: 0\nstudy: {trials: 2, space: {lora.rank: [2]}}\n"
    both = faults(write(f"name: s\nrecipe: [quickstart, pos-ud]\n{text}"))
    assert both[0].startswith("s.yaml:4: workers: 0 runs in this process, not at an address; leave")
    assert both[1].startswith("s.yaml:5: study: is of one recipe, not 2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "s.yaml:1: the file is empty; a sweep begins with `name: s`"),
        ("- a\n", "s.yaml:1: a sweep is a mapping"),
        ("name: [\n", "s.yaml:2: not YAML"),
        ("name: s\nrecipe: []\n", "s.yaml:2: recipe: is empty"),
        ("name: s\nname: t\nrecipe: quickstart\n", "s.yaml:2: name stands twice"),
    ],
)
def test_what_is_no_sweep(write, text, said):
    (found,) = faults(write(text))
    assert said in found


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        loading.load(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        loading.load(tmp_path)


def test_two_names_of_one_recipe(write):
    path = recipe_loading.shipped()["quickstart"]
    file = write(f"name: s\nrecipe:\n  - quickstart\n  - {path}\ngrid: {{lora.rank: [2, 4]}}\n")
    first, second = faults(file)
    assert first.startswith("s.yaml:4: cells 1 (quickstart: lora.rank=2) and 3 (")
    assert second.startswith("s.yaml:4: cells 2 (quickstart: lora.rank=4) and 4 (")


def said_of_files(file, *overrides):
    with pytest.raises(LowresError) as caught:
        loading.cells(loading.load(file, overrides))
    return str(caught.value).splitlines()


def test_a_base_and_files_that_are_not_there_are_both_said_with_their_lines(write):
    file = write(
        "name: s\nrecipe: quickstart\nset:\n  data.files: no/{lang}/{split}.tsv\n"
        "grid:\n  base.name:\n    - e5-small\n    - e5-smal\n"
    )
    data, base = said_of_files(file)
    assert base.startswith("s.yaml:8: base.name: unknown base 'e5-smal'; did you mean 'e5-small'?")
    assert data.startswith("s.yaml:4: data missing: eng_Latn train: no file no/eng_Latn/train.tsv")


@pytest.mark.parametrize(
    ("text", "override", "said"),
    [
        ("set:\n  base: {name: e5-smal}", "seeds=[1]", "s.yaml:4: base.name: unknown base"),
        ("", "base.name=e5-smal", "override 'base.name=e5-smal': base.name: unknown base"),
        (
            "grid:\n  languages.targets:\n    - [swh_Latn]\n    - [ibo_Latn]",
            "seeds=[1]",
            "s.yaml:6: data missing: ibo_Latn test: no file lowres:demo/ibo_Latn/test.jsonl",
        ),
        (
            "set:\n  data.files: no.tsv",
            "seeds=[1]",
            "s.yaml:4: data.files: 'no.tsv' has no {split}",
        ),
        ("", "data.files=no/{lang}/{split}.tsv", "override 'data.files=no/{lang}/{split}.tsv': "),
    ],
)
def test_where_what_is_not_there_was_named(write, text, override, said):
    (found,) = said_of_files(write(f"name: s\nrecipe: quickstart\n{text}\n"), override)
    assert found.startswith(said)


def test_what_the_recipe_itself_lacks_is_said_with_its_line(write):
    file = write("name: s\nrecipe: tiny.yaml\n")
    text = recipe_loading.shipped()["quickstart"].read_text(encoding="utf-8")
    number = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith("data:"))
    file.with_name("tiny.yaml").write_text(text.replace("lowres:demo", "gone"), encoding="utf-8")
    (found,) = said_of_files(file)
    assert found.startswith(f"tiny.yaml:{number}: data missing: eng_Latn train: no file gone/")


def test_data_and_bases_are_looked_for_before_anything_runs(tiny_base, tmp_path):
    grid = {"data.files": ["no/{lang}/{split}.tsv", "nor/{lang}/{split}.tsv"]}
    plan = loading.load(tiny_sweep.written(tmp_path, tiny_base, grid=grid))
    with pytest.raises(LowresError, match=r"no file no/eng_Latn.*\n.*no file nor/eng_Latn"):
        loading.cells(plan)
    plan = loading.load(tiny_sweep.written(tmp_path, tmp_path / "gone"))
    with pytest.raises(LowresError, match="no such folder"):
        loading.cells(plan)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["a", "b"], "[a, b]"),
        ({"rank": 2}, "{rank: 2}"),
        (None, "null"),
        (True, "true"),
        (0.000345678, "0.0003457"),
        ("2e-4", "2e-4"),
    ],
)
def test_values_are_shown_as_written(value, text):
    assert loading.shown(value) == text
