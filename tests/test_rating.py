"""`lowres evaluate`: an adapter on data that it was not trained or chosen on."""

from __future__ import annotations

import json
import shutil

import pytest
import tiny_study
from safetensors.torch import load_file, save_file
from tiny_adapter import of_peft_alone
from tiny_study import CPU
from typer.testing import CliRunner

from lowres import adapter_files, bases, data, lora, model, predict, rating
from lowres.cli import app
from lowres.errors import DataError
from lowres.recipe_data import DataSource


@pytest.fixture
def adapter(tiny_base, tmp_path):
    import torch

    recipe = tiny_study.recipe(tiny_base, "classification")
    labels = tiny_study.data("classification").labels
    located = bases.locate(str(tiny_base))
    torch.manual_seed(1)
    loaded = model.load_base(located, recipe.base, recipe.task, labels, CPU)
    network = lora.attach(loaded, recipe.lora, recipe.task, located.name)
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


def test_what_it_cost_and_over_which_base_is_real(adapter, tiny_base):
    shown, out = evaluated(adapter, "--lang", "hau_Latn", "--column", "label=topic")
    assert "1 seed" not in shown.output, "an adapter is no seed of a run"
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    (stage,) = results["stages"]
    used = results["resources"]
    assert 0 < used["seconds"] == stage["seconds"] < 300
    assert 50 < used["peak_mb"] == stage["peak_mb"]
    assert results["base"]["name"] == str(tiny_base)
    assert results["base"]["obtained"] == "folder"
    assert 0 < results["base"]["trainable_parameters"] < results["base"]["parameters"]


def test_one_file_a_language(adapter):
    """A path without {split} is the split that is asked for; one without {lang} of one language."""
    rows = "text,topic\nthe market,health\n"
    labels = json.loads((adapter / "labels.json").read_text(encoding="utf-8"))["labels"]
    rows = "text,label\n" + "".join(f"the market {i},{labels[i % 2]}\n" for i in range(6))
    for name in ("hau_Latn", "mine"):
        (adapter.parent / f"{name}.csv").write_text(rows, encoding="utf-8")
    for number, name in enumerate(("{lang}.csv", "mine.csv", "h*_Latn.csv")):
        out = adapter.parent / f"out{number}"
        command = ["evaluate", str(adapter), "--data", str(adapter.parent / name)]
        command += ["--lang", "hau_Latn", "--out", str(out)]
        shown = CliRunner().invoke(app, command)
        assert shown.exit_code == 0, shown.stderr
        assert json.loads((out / "results.json").read_text())["scores"][0]["n"] == 6
    command = ["evaluate", str(adapter), "--data", str(adapter.parent / "mine.csv"), "--out", "x"]
    shown = CliRunner().invoke(app, [*command, "--lang", "hau_Latn", "--lang", "yor_Latn"])
    assert shown.exit_code == 2
    assert shown.stderr.startswith("--data: ")
    assert "has no {lang}: hau_Latn, yor_Latn would be one file" in shown.stderr


def test_an_adapter_of_another_script(tiny_base, tmp_path, adapter):
    """It works as soon as somebody says what its labels mean, which nothing in it does."""
    theirs = of_peft_alone(tmp_path / "theirs", tiny_base, "SEQ_CLS")
    labels = json.loads((adapter / "labels.json").read_text(encoding="utf-8"))["labels"]
    given = ["--lang", "hau_Latn", "--column", "label=topic"]
    template = str(adapter.parent / "data" / "{lang}" / "{split}.jsonl")
    command = ["evaluate", str(theirs), "--data", template, "--out", str(tmp_path / "out"), *given]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 2
    said = shown.stderr.strip().splitlines()
    assert said[0].startswith("note: ")
    assert "nothing says what its labels mean: say it, as --label health=LABEL_0" in said[-1]
    named = [f"--label={label}=LABEL_{at}" for at, label in enumerate(labels)]
    shown = CliRunner().invoke(app, [*command, *named])
    assert shown.exit_code == 0, shown.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["labels"] == [f"LABEL_{n}" for n in range(5)]
    assert results["base"]["quantization"] == "none"


def test_each_language_by_its_own_adapter(adapter):
    """As the run itself scored them."""
    own = shutil.copytree(adapter, adapter.parent / "adapters" / "hau_Latn")
    weights = load_file(own / "adapter_model.safetensors")
    save_file({k: v + 0.05 for k, v in weights.items()}, own / "adapter_model.safetensors")
    given = ("--lang", "hau_Latn", "--lang", "yor_Latn", "--column", "label=topic")
    shown, out = evaluated(adapter, *given)
    assert shown.exit_code == 0, shown.stderr
    assert "--lang" not in shown.stderr
    texts = [f"the market {i}" for i in range(12)]
    for code, folder in (("hau_Latn", own), ("yor_Latn", adapter)):
        file = out / "predictions" / "adapter" / f"{code}.jsonl"
        found = [json.loads(line)["probability"] for line in file.read_text().splitlines()]
        wanted = [one.probability for one in predict.load(folder).predict(texts)]
        assert found == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("--data.files.test: no {lang}", "--data: no {lang}"),
        ("set data.unseen_labels to drop", "set --unseen-labels to drop"),
        ("rename them in data.labels", "rename them in --label"),
        ("--data.config: no configuration", "--name: no configuration"),
        ("my/data.csv has no column", "my/data.csv has no column"),
        ("(data.format conll)", "(--format conll)"),
        ("check --data.columns.text", "check --column"),
    ],
)
def test_keys_of_a_recipe_to_options(said, wanted):
    assert rating.in_options(said) == wanted


@pytest.mark.parametrize(
    ("where", "hub", "revision"),
    [
        ("mteb/sib200", "mteb/sib200", None),
        ("mteb/sib200@v1", "mteb/sib200", "v1"),
        ("data/test.csv", None, None),
        ("./a/b", None, None),
        ("{lang}/test", None, None),
    ],
)
def test_a_path_or_an_id(where, hub, revision):
    found = rating.source(where, "test")
    assert (found.hub, found.revision) == (hub, revision)
    assert (found.files is None) == (hub is not None)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--lang", "hau_Latn", "--split", "tset"], "--split tset: expected train, dev or test"),
        (
            ["--lang", "hau_Latn", "--unseen-labels", "foo"],
            "--unseen-labels foo: expected error, drop or wrong",
        ),
        (["--lang", "hau_Latn", "--split", "dev"], "data missing"),
        (["--lang", "hauu"], "--lang: 'hauu'"),
        (["--lang", "hau_Latn", "--name", "hauu=x"], "--name: 'hauu'"),
        (
            ["--lang", "hau_Latn", "--column", "labl=topic"],
            "--column labl=…: expected one of id, text, text_pair, label, tokens, tags",
        ),
        (["--lang", "hau_Latn", "--column", "topic"], "--column topic: expected two names with ="),
        (["--lang", "hau_Latn", "--column", "label=nosuch"], "--column"),
        (["--lang", "hau_Latn", "--format", "xml"], "--format: Input should be 'auto', 'csv'"),
        (
            ["--lang", "hau_Latn", "--column", "label=text"],
            "rename them in --label, or set --unseen-labels to drop",
        ),
        (["--lang", "hau_Latn", "--revision", "v1"], "--revision v1: "),
    ],
)
def test_bad_input_leaves_nothing(adapter, more, says):
    shown, out = evaluated(adapter, *more)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    for key in ("data.", "Extra inputs"):
        assert key not in shown.stderr
    assert not out.exists()


def test_labels_that_the_adapter_does_not_know(adapter):
    template = str(adapter.parent / "data" / "{lang}" / "{split}.jsonl")
    spec = DataSource(files=template, columns={"label": "topic"})
    task = tiny_study.recipe("x", "classification").task
    with pytest.raises(DataError, match="never shows"):
        data.load_tests(task, spec, "--data", ["hau_Latn"], "test", ("a", "b"), "error")
