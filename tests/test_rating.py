"""`lowres evaluate`: an adapter on data that it was not trained or chosen on."""

from __future__ import annotations

import json

import pytest
import tiny_study
from tiny_study import CPU
from typer.testing import CliRunner

from lowres import adapter_files, bases, data, model
from lowres.cli import app
from lowres.errors import DataError
from lowres.recipe import DataSource


@pytest.fixture
def adapter(tiny_base, tmp_path):
    import torch

    recipe = tiny_study.recipe(tiny_base, "classification")
    labels = tiny_study.data("classification").labels
    located = bases.locate(str(tiny_base))
    torch.manual_seed(1)
    loaded = model.load_base(located, recipe.base, recipe.task, labels, CPU)
    network = model.attach_lora(loaded, recipe.lora, recipe.task, located.name)
    folder = tmp_path / "adapter"
    adapter_files.save_adapter(network, folder, located, recipe.task, labels, 24, "none")
    for language in ("hau_Latn", "yor_Latn"):
        rows = [{"text": f"the market {i}", "topic": labels[i % len(labels)]} for i in range(12)]
        file = tmp_path / "data" / language / "test.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def evaluated(adapter, *more):
    template = str(adapter.parent / "data" / "{lang}" / "{split}.jsonl")
    out = adapter.parent / "out"
    command = ["evaluate", str(adapter), "--data", template, "--out", str(out), *more]
    return CliRunner().invoke(app, command, catch_exceptions=False), out


def test_scores_are_in_the_form_of_a_runs(adapter):
    given = ("--lang", "hau_Latn", "--lang", "yor-Latn", "--column", "label=topic")
    shown, out = evaluated(adapter, *given)
    assert shown.exit_code == 0, shown.output
    assert "Hausa" in shown.output
    assert "Mean with" not in shown.output, "there is no source here"
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["schema"] == 1
    found = {(s["language"], s["metric"]): s for s in results["scores"]}
    one = found["hau_Latn", "accuracy"]
    lines = (out / "predictions/adapter/hau_Latn.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert one["n"] == len(rows) == 12
    right = sum(row["gold"] == row["predicted"] for row in rows)
    assert one["value"] == pytest.approx(right / 12)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--lang", "hau_Latn", "--split", "tset"], "--split tset: expected train, dev or test"),
        (["--lang", "hau_Latn", "--split", "dev"], "data missing"),
        (["--lang", "hauu"], "--lang: 'hauu'"),
        (["--lang", "hau_Latn", "--column", "labl=topic"], "--data or --column"),
    ],
)
def test_bad_input_leaves_nothing(adapter, more, says):
    shown, out = evaluated(adapter, *more)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert not out.exists()


def test_labels_that_the_adapter_does_not_know(adapter):
    template = str(adapter.parent / "data" / "{lang}" / "{split}.jsonl")
    spec = DataSource(files=template, columns={"label": "topic"})
    task = tiny_study.recipe("x", "classification").task
    with pytest.raises(DataError, match="never shows"):
        data.load_tests(task, spec, "--data", ["hau_Latn"], "test", ("a", "b"), "error")
