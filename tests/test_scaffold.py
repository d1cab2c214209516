from __future__ import annotations

import pytest

from lowres import scaffold
from lowres.errors import LowresError
from lowres.recipe_loading import load
from lowres.scaffold import Answers

GIVEN = Answers("eng_Latn", "yor_Latn, lao-Laoo", "tagging", "d/{lang}/{split}.conll", "e5-small")


def answers(**changed):
    return Answers(**{**vars(GIVEN), **changed})


@pytest.mark.parametrize("task", ["classification", "tagging", "pairs"])
def test_what_is_written_loads(tmp_path, task):
    path = tmp_path / "My Study 2.yaml"
    scaffold.write(path, answers(task=task))
    recipe = load(str(path))
    assert recipe.name == "my-study-2"
    assert recipe.languages.targets == ("yor_Latn", "lao_Laoo")
    assert (recipe.task.name, recipe.base.name) == (task, "e5-small")
    assert recipe.data.files == "d/{lang}/{split}.conll"
    assert recipe.seeds == (1, 2, 3)
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if "#" in line]
    assert len(comments) > 8


@pytest.mark.parametrize(
    ("data", "hub", "files"),
    [
        ("mteb/sib200", "mteb/sib200", None),
        ("my data/{lang}: {split}.tsv", None, "my data/{lang}: {split}.tsv"),
        ("./{lang}-{split}.tsv", None, "./{lang}-{split}.tsv"),
    ],
)
def test_data_is_a_template_or_a_hub_id(tmp_path, data, hub, files):
    path = tmp_path / "a.yaml"
    scaffold.write(path, answers(data=data))
    recipe = load(str(path))
    assert (recipe.data.hub, recipe.data.files) == (hub, files)
    assert recipe.data.config == ("{lang}" if hub else None)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "taging"}, "unknown task 'taging'; did you mean 'tagging'?"),
        ({"source": "eng"}, "did you mean eng_Latn?"),
        ({"targets": "yor_Latn,swahili"}, "did you mean swh_Latn?"),
        ({"targets": " , "}, "--targets: name at least one language"),
        ({"targets": "eng_Latn"}, "both source and target"),
        ({"base": "xlm-roberta-bas"}, "did you mean 'xlm-roberta-base'?"),
        ({"data": "d/{lang}.tsv"}, "has no {split}"),
        ({"data": "d/{split}.tsv"}, "has no {lang}"),
        ({"data": "d/{language}/{split}.tsv"}, "{language}"),
    ],
)
def test_a_wrong_answer_writes_nothing(tmp_path, changed, says):
    with pytest.raises(LowresError) as caught:
        scaffold.write(tmp_path / "a.yaml", answers(**changed))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_where_it_may_stand(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("mine")
    for name, says in [("a.yaml", "exists"), ("a.txt", ".yaml"), ("no/a.yaml", "no such folder")]:
        with pytest.raises(LowresError, match=says):
            scaffold.write(tmp_path / name, GIVEN)
    assert path.read_text() == "mine"
