"""The command line without a model: what it prints, and what bad input gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner, Result

from lowres import __version__, cli, recipe_loading
from lowres.cli import app
from lowres.errors import Interrupted, RunError

HEAVY = ("torch", "transformers", "peft", "datasets", "ray", "optuna", "grpc")


def call(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["validate", "quickstart"],
        ["validate", "--schema"],
        ["show", "quickstart"],
        ["ls", "recipes"],
        ["ls", "cards"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom lowres.cli import app\n"
        f"try:\n    app({words!r})\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_the_one_that_was_read(golden: Callable[[str, str], None]) -> None:
    env = {"COLUMNS": "100", "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    shown = CliRunner().invoke(app, ["--help"], env=env, prog_name="lowres")
    lines = [line.rstrip() for line in shown.stdout.splitlines()]
    golden("help.txt", "\n".join(lines).strip("\n") + "\n")


@pytest.mark.parametrize("command", ["plan", "run", "validate"])
def test_help_shows_its_example_whole(command: str) -> None:
    env = {"COLUMNS": "160", "NO_COLOR": "1"}
    shown = CliRunner().invoke(app, [command, "--help"], env=env)
    assert "'languages.targets=[swh_Latn]'" in shown.stdout


def test_no_help_is_taken_for_markup() -> None:
    """What stands in square brackets is a style to rich, and is not printed."""
    from rich.markup import render

    def helps(command: Any) -> Iterator[str]:
        yield command.help or ""
        yield from (getattr(each, "help", None) or "" for each in command.params)
        for below in getattr(command, "commands", {}).values():
            yield from helps(below)

    found = [text for text in helps(typer.main.get_command(app)) if "[" in text]
    assert found
    for text in found:
        assert render(text).plain == text.replace(r"\[", "[")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer import completion

    monkeypatch.setattr(completion, "_get_shell_name", lambda: shell)
    shown = CliRunner().invoke(app, ["--show-completion"], prog_name="lowres")
    assert shown.exit_code == 0, shown.output
    assert "_LOWRES_COMPLETE" in shown.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("run quick", "quickstart"), ("validate nli", "nli-americas"), ("ls base", "bases")],
)
def test_names_are_completed(typed: str, expected: str) -> None:
    words = f"lowres {typed}"
    env = {
        **os.environ,
        "_LOWRES_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from lowres.cli import app; app(prog_name='lowres')"],
        capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip
    assert expected in done.stdout.split(), done.stderr


def test_version() -> None:
    assert call("--version").stdout.strip() == f"lowres {__version__}"


@pytest.mark.parametrize(
    "what", ["recipes", "bases", "tasks", "metrics", "baselines", "cards", "runs"]
)
def test_ls(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = json.loads(call("ls", what, "--json").stdout)
    assert rows or what == "runs"
    assert call("ls", what).exit_code == 0


def test_cards_say_what_they_can_compute() -> None:
    rows = {row["name"]: row for row in json.loads(call("ls", "cards", "--json").stdout)}
    assert rows["Colab T4"] == {
        "name": "Colab T4", "memory": "15 GB", "bf16": "no", "8bit": "yes", "4bit": "yes",
    }  # fmt: skip
    assert rows["P100"]["8bit"] == "no"
    assert rows["L4"]["bf16"] == "yes"


def test_no_runs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = call("ls", "runs")
    assert (shown.stdout, shown.stderr) == ("", "no runs here\n")


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


def test_new_without_an_answer_says_so(tmp_path: Path) -> None:
    asked = call("new", str(tmp_path / "a.yaml"), stdin="")
    assert asked.exit_code == 2
    assert "give all options" in asked.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_at_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(*args: object, **options: object) -> str:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise typer.Abort from None  # as the real one does

    monkeypatch.setattr(typer, "prompt", prompt)
    left = call("new", str(tmp_path / "a.yaml"))
    assert left.exit_code == 130
    assert left.stderr == "interrupted; nothing was written\n"
    assert not list(tmp_path.iterdir())


class TestFailures:
    """What the commands raise, and what becomes of it."""

    @pytest.fixture
    def fails(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
        def arrange(error: BaseException) -> None:
            def broken(name: str, overrides: list[str]) -> None:
                raise error

            monkeypatch.setattr(recipe_loading, "load", broken)

        return arrange

    @pytest.mark.parametrize(
        ("error", "status", "says"),
        [
            (RunError("the disk is full"), 2, "the disk is full"),
            (Interrupted("interrupted at step 3 of 9"), 130, "step 3 of 9; give the same command"),
            (KeyboardInterrupt(), 130, "interrupted; give the same command again"),
            (KeyError("x"), 1, "lowres failed: KeyError: 'x' (this is a bug"),
            (AssertionError(), 1, "no message"),
        ],
    )
    def test_one_line_and_a_status(self, fails, error, status, says) -> None:
        fails(error)
        left = call("validate", "quickstart")
        assert left.exit_code == status
        assert says in left.stderr
        assert len(left.stderr.splitlines()) == 1

    @pytest.mark.parametrize("error", [RunError("the disk is full"), KeyError("x")])
    def test_debug_lets_them_through(self, fails, error) -> None:
        fails(error)
        assert call("--debug", "validate", "quickstart").exception is error
        assert "lowres --debug" in call("--help").stdout


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
        (["run", "quickstart", "seeds=true"], "seeds"),
        (["run", "quickstart", "lora.rank=true"], "expected a number, not true"),
        (["run", "quickstart", "lora.rank=1e3"], "write 1000"),
        (["run", "quickstart", "lora.targets=[]"], "lora.targets: is empty"),
        (["run", "quickstart", "lora.targets=3"], "expected auto or a list"),
        (["run", "quickstart", "train.epochs=.inf"], "expected a finite number"),
        (["run", "quickstart", "train.epochs=1e308"], "less than or equal to 10000"),
        (["run", "quickstart", "base.name=''"], "base.name: is empty"),
        (["run", "quickstart", "task=tagging"], "write `task: {name:"),
        (["run", "quickstart", "data.files={train: 3}"], "data.files.train: expected text"),
        (["run", "quickstart", "data.labels={1: a}"], "expected text"),
        (["run", "quickstart", f"name={'a' * 101}"], "at most 100 characters"),
        (["run", "quickstart", "evaluate.metrics=[macro_f2]"], "macro_f1"),
        (["run", "quickstart", "evaluate.metrics=f1"], "unknown metric 'f1'"),
        (["run", "quickstart", "evaluate.metrics=[]"], "evaluate.metrics: is empty"),
        (["run", "quickstart", "evaluate.metrics=[accuracy,accuracy]"], "accuracy twice"),
        (["run", "quickstart", "evaluate.metrics=[span_f1]"], "does not fit task classification"),
        (["run", "quickstart", "evaluate.baselines=[lookup_target]"], "lookup_target does not fit"),
        (["validate", "."], "is a folder"),
        (["validate", "quickstart", "base.name=./nowhere"], "no such folder; give the folder"),
        (["validate", "quickstart", f"base.name={__file__}"], "is a file, not a folder"),
        (["validate", "quickstart", "data.files=lowres:nothere/{lang}/{split}.tsv"], "inside the"),
        (["show", "quickstart", "--out", __file__], "a file stands"),
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("run quickstart --seeds=3", "No such option: --seeds; keys of a recipe"),
        ("ls --jsno", "--json"),
        ("rnu", "No such command 'rnu'"),
    ],
)
def test_a_misspelt_option_is_one_line_too(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lowres", *words.split()])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    assert left.value.code == 2
    assert shown.out == ""
    assert expected in shown.err
    assert len(shown.err.splitlines()) == 1


def test_main_gives_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, status in [(["--version"], 0), (["validate", "nosuch"], 2)]:
        monkeypatch.setattr(sys, "argv", ["lowres", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == status
    assert capsys.readouterr().out == f"lowres {__version__}\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -c 'from lowres.cli import app; app()' validate --schema | head -n 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("{\n", "")


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: this is no Linux")
def test_a_full_disk_is_no_bug():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lowres", "ls", "bases"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("No space left on device; free some space")
