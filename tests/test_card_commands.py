"""What a card tells its readers to type works, against a Hub that has what was published."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import tiny_run
from hub_cases import contents, hub_of_two_users
from hub_client import point_client_at
from typer.testing import CliRunner

from lowres import predict, repository, snapshots
from lowres.cli import app
from lowres.recipe_publish import Publish

NAME = "ada/topics"


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_unigram_base):
    with hub_of_two_users() as served:
        point_client_at(served, monkeypatch, tmp_path / "cache")
        snapshots._answers.cache_clear()
        served.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
        yield served
        assert served.faults == []
    snapshots._answers.cache_clear()


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
