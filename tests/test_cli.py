"""The command line without a model: what it prints, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lowres import __version__
from lowres.cli import app

HEAVY = ("torch", "transformers", "peft", "datasets")


def call(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


@pytest.mark.parametrize("words", [["--help"], ["validate", "quickstart"], ["ls", "recipes"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom lowres.cli import app\n"
        f"try:\n    app({words!r})\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    assert call("--version").stdout.strip() == f"lowres {__version__}"


@pytest.mark.parametrize("what", ["recipes", "bases", "tasks", "metrics", "baselines", "runs"])
def test_ls(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = json.loads(call("ls", what, "--json").stdout)
    assert rows or what == "runs"
    assert call("ls", what).exit_code == 0


def test_show_names_the_stages() -> None:
    shown = json.loads(call("show", "quickstart", "lora.rank=3", "--json").stdout)
    assert shown["recipe"]["lora"]["rank"] == 3
    assert [s["name"] for s in shown["stages"]] == [
        "extend", "adapt", "train/1", "evaluate", "publish",
    ]  # fmt: skip
    assert "rank: 3" in call("show", "quickstart", "lora.rank=3").stdout


def test_schema_names_every_section() -> None:
    schema = json.loads(call("validate", "--schema").stdout)
    assert {"base", "languages", "data", "task", "lora", "train"} <= set(schema["properties"])


def test_new_writes_a_recipe_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    flags = ["--source", "eng_Latn", "--targets", "yor_Latn,lao_Laoo", "--task", "tagging"]
    made = call("new", str(path), *flags, "--data", "d/{lang}/{split}.conll")
    assert made.exit_code == 0, made.stderr
    assert call("show", str(path)).exit_code == 0
    asked = call("new", str(tmp_path / "b.yaml"), stdin="eng_Latn\nyor_Latn\npairs\nnala-cub/x\n")
    assert asked.exit_code == 0, asked.stderr
    assert 'hub: "nala-cub/x"' in (tmp_path / "b.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "quikstart"], "did you mean 'quickstart'"),
        (["run", "missing.yaml"], "no such recipe file"),
        (["run", "quickstart", "lora.rnk=3"], "did you mean 'rank'"),
        (["run", "quickstart", "lora.rank=many"], "lora.rank"),
        (["run", "quickstart", "lora.rank"], "expected key=value"),
        (["run", "quickstart", "languages.targets=[yoo_Latn]"], "did you mean yor_Latn"),
        (["run", "quickstart", "languages.targets=[eng_Latn]"], "both source and target"),
        (["run", "quickstart", "task.name=clasification"], "did you mean 'classification'"),
        (["run", "quickstart", "data.files=nowhere/{lang}/{split}.tsv"], "nowhere"),
        (["run", "quickstart", "data.files=a/{language}.tsv"], "{language}"),
        (["run", "quickstart", "data.hub=xnli"], "namespace/name"),
        (["run", "quickstart", "train.batch=10", "train.micro_batch=3"], "does not divide"),
        (["run", "quickstart", "seeds=[1,1]"], "seeds"),
        (["run", "quickstart", "evaluate.metrics=[macro_f2]"], "macro_f1"),
        (["validate"], "needs a recipe"),
        (["ls", "recipe"], "recipes"),
        (
            ["new", "x.txt", "--targets=a", "--source=b", "--data=c", "--task=d"],
            ".yaml",
        ),
        (["predict", "nowhere"], "no adapter here"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = call(*words)
    assert refused.exit_code == 2, refused.output
    assert expected in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_every_fault_of_a_recipe_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: x\nbase: {nme: a}\nlanguages: {source: eng_Latn, targets: [yor_Latn]}\n"
        "data: {files: 'a/{lang}'}\ntask: {name: tagging}\nlora:\n  rank: x\n"
    )
    refused = call("validate", str(path))
    assert refused.exit_code == 2
    assert [line.split(":")[1] for line in refused.stderr.strip().splitlines()] == ["2", "2", "7"]
    path.write_text("name: [\n")
    assert f"{path}:2: not YAML" in call("validate", str(path)).stderr
    path.write_text("name: a\nname: b\n")
    assert f"{path}:2: name stands twice" in call("validate", str(path)).stderr
