"""What a card tells its readers to type works, against a Hub that has what was published."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import tiny_run
from hub_cases import contents, hub_in_use
from typer.testing import CliRunner

from lowres import predict, repository
from lowres.cli import app
from lowres.recipe import Recipe
from lowres.recipe_publish import Publish
from lowres.results import DataRecord

NAME = "ada/topics"


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_unigram_base):
    with hub_in_use(monkeypatch, tmp_path) as served:
        served.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
        yield served


def published(hub, folder, encoder, task="classification", **options):
    """The card of a finished run that the Hub has as NAME."""
    run = tiny_run.finished(folder / "run", encoder, task, **options)
    built = repository.build(run, NAME, "1", Publish(license="cc-by-sa-4.0"), folder / "out")
    hub.add(NAME, contents(built.folder), kind="models")
    return (built.folder / "README.md").read_text(encoding="utf-8")


def commands(card):
    """Every line of `lowres` in its blocks of commands, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("lowres ")]


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    ("task", "extended"), [("classification", True), ("tagging", False), ("pairs", False)]
)
def test_predict_and_merge_as_the_card_says(
    hub, tmp_path, tiny_unigram_base, monkeypatch, task, extended
):
    card = published(hub, tmp_path, tiny_unigram_base, task, extended=extended)
    monkeypatch.chdir(tmp_path)
    found = {words[0]: words for words in commands(card)}
    assert set(found) == {"run", "predict", "merge"}
    answered = call(*found["predict"])
    assert answered.exit_code == 0, answered.stderr
    assert json.loads(answered.stdout)["predicted"]
    merged = call(*found["merge"])
    assert merged.exit_code == 0, merged.stderr
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert "logits differ" in merged.stdout


def test_merge_of_a_language_and_of_a_revision(hub, tmp_path, tiny_unigram_base):
    published(hub, tmp_path, tiny_unigram_base, languages=["swh_Latn"])
    own = call("merge", NAME, tmp_path / "own", "--language", "swh_Latn", "--revision", "main")
    assert own.exit_code == 0, own.stderr
    common = call("merge", NAME, tmp_path / "common")
    assert common.exit_code == 0, common.stderr
    assert "swh_Latn have adapters of their own" in common.stderr
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("own", "common")]
    assert weights[0] != weights[1]
    gone = call("merge", NAME, tmp_path / "gone", "--revision", "v9")
    assert gone.exit_code == 2
    assert gone.stderr.startswith("--revision v9: ada/topics has no such branch")
    assert not (tmp_path / "gone").exists()


def test_evaluate_by_id(hub, tmp_path, tiny_unigram_base):
    published(hub, tmp_path, tiny_unigram_base)
    rows = "".join(f"the market {i},{'abc'[i % 3]}\n" for i in range(9))
    (tmp_path / "swh_Latn.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    out = tmp_path / "scores"
    data = ("--data", tmp_path / "{lang}.csv", "--lang", "swh_Latn", "--out", out)
    done = call("evaluate", NAME, *data, "--revision", "main")
    assert done.exit_code == 0, done.stderr
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["recipe"]["name"] == NAME
    assert (results["base"]["hub_id"], results["base"]["obtained"]) == (tiny_run.BASE_ID, "hub")
    assert len(predict.load(NAME).labels) == 3
    missing = call("evaluate", "ada/nothing", *data[:-1], tmp_path / "other")
    assert missing.exit_code == 2
    assert "has no such model, or it is private" in missing.stderr


def examples(folder, languages):
    for code in languages:
        for split, count in (("train", 24), ("dev", 6), ("test", 9)):
            rows = "".join(f"{code} market {i},{'abc'[i % 3]}\n" for i in range(count))
            file = folder / code / f"{split}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"text,label\n{rows}", encoding="utf-8")


def test_the_run_is_made_again_as_the_card_says(hub, tmp_path, tiny_unigram_base, monkeypatch):
    """In a folder that has `recipe.yaml` and, at first, nothing else."""
    languages = ["eng_Latn", "swh_Latn"]
    data = tmp_path / "far" / "away" / "topics"
    examples(data, languages)
    recipe = {
        "name": "topics",
        "base": {"name": tiny_run.BASE_ID, "quantization": "none"},
        "languages": {"source": languages[:1], "targets": languages[1:]},
        "data": {"files": f"{data}/{{lang}}/{{split}}.csv"},
        "task": {"name": "classification"},
        "train": {"epochs": 1, "max_tokens": 16},
        "evaluate": {"baselines": [], "bootstrap": 100},
        "seeds": [1, 2],
    }
    records = [
        DataRecord(language=code, split=split, n=9, where=f"{data}/{code}/{split}.csv")
        for code, splits in zip(languages, (("train", "dev", "test"), ("test",)), strict=True)
        for split in splits
    ]
    whole = Recipe.model_validate(recipe).model_dump(mode="json", exclude={"publish"})
    card = published(hub, tmp_path, tiny_unigram_base, recipe=whole, data=records)
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    (there / "recipe.yaml").write_bytes(hub.files(NAME)["recipe.yaml"])
    (command,) = [words for words in commands(card) if words[0] == "run"]
    assert call(*command).exit_code == 2
    ((path, holds),) = re.findall(r"^- `([^`]+)`: (.*)$", card, re.MULTILINE)
    assert holds == r"labelled data, train, dev, test of eng\_Latn; test of swh\_Latn"
    examples(there / path.partition("{lang}")[0], languages)
    done = call(*command)
    assert done.exit_code in (0, 3), done.stderr
    (results,) = there.glob("runs/topics-*/results.json")
    made = json.loads(results.read_text(encoding="utf-8"))
    assert [seed["seed"] for seed in made["seeds"]] == [1]


def test_sets_of_the_hub_in_place_of_files(monkeypatch, tmp_path):
    """What the card says to add is read as it is meant."""
    monkeypatch.chdir(tmp_path)
    lines = "name: x\nbase: {name: e5-small}\nlanguages: {source: eng_Latn, targets: yor_Latn}\n"
    lines += "data: {hub: mteb/sib200, config: '{lang}', files: 'x/{lang}/{split}.tsv'}\n"
    (tmp_path / "recipe.yaml").write_text(lines + "task: {name: classification}\n")
    assert "data missing" in call("validate", "recipe.yaml").stderr
    done = call("validate", "recipe.yaml", "data.files=null")
    assert done.exit_code == 0, done.stderr
