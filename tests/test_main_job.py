"""The main job through the command line: demo data and a tiny base, from recipe to prediction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lowres.cli import app
from lowres.results import Results

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from lowres.cli import main; main()"]
TARGETS = ["swh_Latn", "amh_Ethi"]
NEWS = ("runs/", "run:", "train", "seed 1:", "baselines:", "evaluate", "report:", "interrupted")


def call(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def started(*words: str, folder: Path) -> subprocess.Popen[str]:
    """The command as a user starts it, in this working folder."""
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def strange(err: str) -> list[str]:
    """Lines that are no news of ours: warnings of libraries, tracebacks, blank lines."""
    return [line for line in err.splitlines() if not line.startswith((*NEWS, "not to be trusted"))]


def overrides(base: Path, quantization: str = "none", task: str = "classification") -> list[str]:
    chosen = [
        f"base.name={base}",
        f"base.quantization={quantization}",
        f"languages.targets=[{', '.join(TARGETS)}]",
        "train.steps=6",
        "evaluate.bootstrap=100",
    ]
    if task == "tagging":
        chosen += ["task.name=tagging", "data.columns={tokens: tokens, tags: tags}"]
    return chosen


@pytest.fixture(scope="module")
def finished(
    tiny_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The working folder after `lowres run … --json`, and what the command printed."""
    folder = tmp_path_factory.mktemp("work")
    command = started("run", "quickstart", *overrides(tiny_base), "--json", folder=folder)
    out, err = command.communicate(timeout=300)
    return folder, subprocess.CompletedProcess(command.args, command.returncode, out, err)


def test_what_a_run_leaves_and_prints(finished) -> None:
    folder, done = finished
    # a random base after six steps may well collapse, and that is told
    assert done.returncode in (0, 3), done.stderr
    (run,) = (folder / "runs").iterdir()
    assert run.name.startswith("quickstart-")
    assert done.stdout == (run / "results.json").read_text(encoding="utf-8")
    results = Results.model_validate_json(done.stdout)
    assert {s.system for s in results.scores} >= {"adapter", "majority", "tfidf", "probe"}
    assert [v.language for v in results.verdicts] == TARGETS
    assert {s.n for s in results.scores} == {42}
    assert ("not to be trusted" in done.stderr) == (done.returncode == 3)
    assert strange(done.stderr) == []

    expected = {"recipe.yaml", "results.json", "report.html", "train", "evaluate", "predictions"}
    assert {entry.name for entry in run.iterdir()} - {".lock"} == expected
    adapter = {file.name for file in (run / "train" / "1" / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "labels.json"} <= adapter
    for language in ("eng_Latn", *TARGETS):
        file = run / "predictions" / "1" / f"{language}.jsonl"
        assert len(file.read_text(encoding="utf-8").splitlines()) == 42
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "Swahili" in report
    assert not list(run.rglob("checkpoint*")), "checkpoints go when the adapter is chosen"
    assert not list(run.rglob(".*.partial"))


def test_the_same_command_again_does_nothing_twice(finished, tiny_base, monkeypatch) -> None:
    folder, done = finished
    monkeypatch.chdir(folder)
    (run,) = Path("runs").iterdir()
    before = {f: f.stat().st_mtime_ns for f in run.rglob("*/manifest.json")}
    again = call("run", "quickstart", *overrides(tiny_base))
    assert again.exit_code == done.returncode, again.stderr
    assert again.stderr.count("done before") == 2
    assert {f: f.stat().st_mtime_ns for f in run.rglob("*/manifest.json")} == before
    assert "swh_Latn" in again.stdout
    assert "adapter" in again.stdout
    listed = json.loads(call("ls", "runs", "--json").stdout)
    assert [row["state"] for row in listed] == ["finished"]
    shown = json.loads(call("show", "quickstart", *overrides(tiny_base), "--json").stdout)
    assert {s["state"] for s in shown["stages"] if s["name"] in ("train/1", "evaluate")} == {"done"}


def test_one_json_line_an_input_line(finished) -> None:
    folder, _ = finished
    (run,) = (folder / "runs").iterdir()
    lines = ["Mvua inanyesha leo.", "", "Timu ya Nairobi\u2028 ilishinda mechi.", "ዝናብ"]
    adapter = str(run / "train" / "1" / "adapter")
    command = started("predict", adapter, folder=folder)
    out, err = command.communicate("\n".join(lines) + "\n", timeout=300)
    assert command.returncode == 0, err
    assert err == ""
    labels = Results.model_validate_json((run / "results.json").read_text(encoding="utf-8")).labels
    answers = [json.loads(line) for line in out.split("\n")[:-1]]
    assert len(answers) == len(lines)
    assert all(a["predicted"] in labels and 0 <= a["probability"] <= 1 for a in answers)

    (folder / "lines.txt").write_text("\n".join(reversed(lines)), encoding="utf-8")
    from_file = call("predict", adapter, "--file", str(folder / "lines.txt"))
    assert from_file.exit_code == 0, from_file.stderr
    turned = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert [a["predicted"] for a in turned] == [a["predicted"] for a in reversed(answers)]


@pytest.mark.parametrize(
    ("quantization", "task"), [("8bit", "classification"), ("none", "tagging")]
)
def test_other_kinds(tiny_base: Path, tmp_path: Path, quantization: str, task: str) -> None:
    out = tmp_path / "run"
    words = ["run", "quickstart", *overrides(tiny_base, quantization, task), "--out", str(out)]
    done = call(*words, "--json")
    assert done.exit_code in (0, 3), done.stderr
    assert done.stdout == (out / "results.json").read_text(encoding="utf-8")
    results = Results.model_validate_json(done.stdout)
    assert results.base.quantization == quantization
    assert [v.language for v in results.verdicts] == TARGETS
    lines = ["Mvua inanyesha leo.", "", "Timu ya Nairobi ilishinda mechi."]
    answered = call("predict", str(out / "train" / "1" / "adapter"), stdin="\n".join(lines) + "\n")
    assert answered.exit_code == 0, answered.stderr
    answers = [json.loads(line)["predicted"] for line in answered.stdout.splitlines()]
    if task == "tagging":
        assert [len(tags) for tags in answers] == [3, 0, 5]
    else:
        assert len(answers) == 3
        assert set(answers) <= set(results.labels)


def interrupted(words: list[str], folder: Path, moment: Callable[[], bool]) -> str:
    """Start the command, press Ctrl-C at the moment, return what it printed at the end."""
    command = started(*words, folder=folder)
    deadline = time.monotonic() + 300
    while not moment():
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=300)
    assert command.returncode == 130, (out, err)
    assert out == ""
    assert strange(err) == []
    return err.splitlines()[-1]


def test_ctrl_c_leaves_a_run_that_goes_on(tiny_base: Path, tmp_path: Path) -> None:
    words = ["run", "quickstart", *overrides(tiny_base), "train.steps=60", "--out", "run"]
    run = tmp_path / "run"
    checkpoints = run / "train" / ".1.partial" / "checkpoints"

    said = interrupted(words, tmp_path, lambda: any(checkpoints.glob("checkpoint-*/whole")))
    assert said.startswith("interrupted at step ")
    assert said.endswith("of 60; give the same command again to go on")
    assert any(checkpoints.glob("checkpoint-*/whole"))

    # at the stage's beginning: after the first baseline a loaded machine may come too late
    said = interrupted(words, tmp_path, (run / ".evaluate.partial").is_dir)
    assert said == "interrupted; give the same command again to go on"
    assert (run / "train" / "1" / "manifest.json").is_file()
    assert not (run / "results.json").exists()

    done = call(*words[:-1], str(run))
    assert done.exit_code in (0, 3), done.stderr
    assert "train/1: done before" in done.stderr
    results = Results.model_validate_json((run / "results.json").read_text(encoding="utf-8"))
    assert results.seeds[0].steps == 60


def test_ctrl_c_before_the_first_stage_leaves_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lowres import data

    def read(recipe: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", read)
    left = call("run", "quickstart", *overrides(tiny_base), "--out", str(tmp_path / "run"))
    assert left.exit_code == 130
    assert left.stderr == "interrupted; give the same command again to go on\n"
    assert not list(tmp_path.iterdir())
