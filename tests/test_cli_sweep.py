"""`lowres sweep` as a command, in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_sweep
from fake_stages import Fakes
from typer.testing import CliRunner

from lowres.cli import app
from lowres.errors import DataError
from lowres.sweeps.table import CellRow


def call(*words):
    return CliRunner().invoke(app, ["sweep", *words])


@pytest.fixture
def file(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(tiny_sweep.written(tmp_path, tiny_base))


@pytest.fixture
def fakes(monkeypatch):
    return Fakes(monkeypatch)


def test_the_table(file, fakes):
    planned = call(file, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert "0 of 2 runs done, 2 to do" in planned.stdout
    assert not Path("runs").exists()
    done = call(file)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count(": started (lora.rank=") == 2
    lines = done.stdout.splitlines()
    assert max(map(len, lines[: lines.index(next(x for x in lines if "Scores" in x))])) <= 80
    (first,) = [line.split() for line in lines if line.startswith(" 2 ")]
    assert first[0] == "2"
    assert first[2:4] == ["84", "–"], "no lexical baseline was run"
    assert first[-1] == "done"
    assert "table: runs/tiny/sweep.json, sweep.csv" in lines[-1]
    assert "2 of 2 runs done" in call(file, "--dry-run").stdout
    assert call(file).stderr.count("done before") == 2


def test_json_is_the_file(file, fakes):
    done = call(file, "--json", "--out", "elsewhere")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == Path("elsewhere/sweep.json").read_text(encoding="utf-8")
    planned = json.loads(call(file, "--json", "--dry-run", "--out", "elsewhere").stdout)
    assert [row["state"] for row in planned["cells"]] == ["done", "done"]


def test_overrides_are_for_all_cells(file, fakes):
    cells = json.loads(call(file, "lora.alpha=8", "--dry-run", "--json").stdout)["cells"]
    plain = json.loads(call(file, "--dry-run", "--json").stdout)["cells"]
    assert {row["cell"] for row in cells}.isdisjoint(row["cell"] for row in plain)
    refused = call(file, "lora.rank=8")
    assert refused.exit_code == 2
    assert "grid.lora.rank and override 'lora.rank=8' set the same key" in refused.stderr


def test_a_failure_is_shown_and_status_3(file, fakes):
    fakes.at["train 1"] = DataError("line 3: no [label]")
    done = call(file)
    assert done.exit_code == 3
    assert "failed at try 1: line 3: no [label]" in done.stdout
    assert "traceback: runs/tiny/failures/" in done.stderr
    assert call(file).exit_code == 0


def test_a_doubt_is_shown_and_status_3(file, fakes, monkeypatch):
    from lowres import pipeline

    monkeypatch.setattr(pipeline, "untrusted", lambda results: ["seed 1: nan", "swh_Latn: bad"])
    done = call(file)
    assert done.exit_code == 3
    assert "doubtful" in done.stdout
    assert "not to be trusted: seed 1: nan (and 1 more: see its report)" in done.stdout


def test_a_study_says_what_it_chose(tiny_base, tmp_path, fakes, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    study = {"trials": 2, "space": {"lora.rank": {"low": 2, "high": 60}}}
    file = str(tiny_sweep.written(tmp_path, tiny_base, grid=None, study=study))
    assert "0 of 2 trials done" in call(file, "--dry-run").stdout
    done = call(file)
    assert done.exit_code == 0, done.stderr
    assert "Chosen: lora.rank=" in done.stdout
    assert "by mean source dev (0.600) among 2 settings; the targets had no say" in done.stdout
    assert "2 of 2 trials done" in call(file, "--dry-run").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--local", "--address", "auto"], "leave --workers and --address out"),
        (["--local", "--workers", "2"], "leave --workers and --address out"),
        (["--workers", "0", "--address", "ray://head:1"], "not at address ray://head:1; leave one"),
        (["--address", "auto"], "workers 0 run in this process, not at address auto; leave one"),
        (["lora.rank"], "expected key=value"),
    ],
)
def test_words_that_do_not_go_together(file, words, said):
    refused = call(file, *words)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert said in refused.stderr


def test_no_workers_for_the_address_in_the_file(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(tiny_sweep.written(tmp_path, tiny_base, workers=None, address="ray://head:1"))
    refused = call(file, "--workers", "0", "--dry-run")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "not at address ray://head:1" in refused.stderr
    assert call(file, "--local", "--dry-run").exit_code == 0


def test_a_file_that_is_not_there():
    refused = call("nowhere.yaml")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)


def test_a_plan_imports_nothing_heavy(file):
    code = (
        "import sys\nfrom lowres.cli import app\n"
        f"try:\n    app(['sweep', {file!r}, '--dry-run'])\nexcept SystemExit as e:\n"
        "    assert not e.code, e.code\n"
        "print([m for m in ('torch', 'transformers', 'ray', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_long_lists_are_cut_in_the_table_alone():
    from lowres.cli_sweep import _short, _value

    assert _value(["a", "b"]) == "a, b"
    assert _value(list("abcde")) == "a, b, c and 2 more"
    assert _value(0.0002) == "0.0002"
    assert _short("lora.rank", ["lora.rank", "train.steps"]) == "rank"
    assert _short("lora.rank", ["lora.rank", "other.rank"]) == "lora.rank"


def test_the_better_lexical_baseline():
    row = CellRow(cell="c", recipe="r", settings={}, state="to do")
    assert row.lexical is None
    both = row.model_copy(update={"baselines": {"tfidf": 0.3, "lookup": 0.4, "majority": 0.9}})
    assert both.lexical == ("lookup", 0.4)
