from __future__ import annotations

import json
import random

import pytest
from results_factory import LABELS, make_results
from typer.testing import CliRunner

from lowres import side_by_side
from lowres.cli import app
from lowres.errors import RunError


def run_of(folder, right=0.6, languages=("eng_Latn", "hin_Deva", "tzm_Tfng"), ids=40, **changes):
    """A finished run whose answers are right so often; seed 2 is the median of those trusted."""
    results = make_results(**changes)
    folder.mkdir()
    text = results.model_dump_json(by_alias=True)
    (folder / "results.json").write_text(text, encoding="utf-8")
    for seed in (s.seed for s in results.seeds):
        for language in languages:
            draw = random.Random(f"{language} {right}")
            rows = []
            for number in range(ids):
                gold = LABELS[number % len(LABELS)]
                wrong = LABELS[(number + 1) % len(LABELS)]
                said = gold if draw.random() < right else wrong
                rows.append({"id": str(number), "gold": gold, "predicted": said, "probability": 1})
            file = folder / "predictions" / str(seed) / f"{language}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_run_beside_a_better_one(tmp_path):
    found = side_by_side.compare([run_of(tmp_path / "a", 0.3), run_of(tmp_path / "b", 0.9)])
    assert found.names == ("a", "b"), "both recipes have one name, so the folders tell them apart"
    assert [line.language for line in found.lines] == [
        "eng_Latn", "hin_Deva", "tzm_Tfng", "targets",
    ]  # fmt: skip
    mean = found.lines[-1]
    assert mean.n == 80
    first, second = mean.cells
    assert first.delta is None
    assert second.delta_low > 0.3
    assert second.delta_low < second.delta < second.delta_high
    assert second.p < 0.01
    assert "urd_Arab" in found.left_out


def test_a_run_beside_itself(tmp_path):
    run = run_of(tmp_path / "a")
    for line in side_by_side.compare([run, run, run]).lines:
        assert [cell.delta for cell in line.cells] == [None, 0.0, 0.0]
        assert all(cell.p == 1 for cell in line.cells[1:])


def test_what_cannot_be_compared(tmp_path):
    run = run_of(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    other = {
        "two runs or more": [run],
        r"empty: no finished run \(results.json": [run, tmp_path / "empty"],
        "no language in common": [run, run_of(tmp_path / "b", languages=("urd_Arab",))],
        "other test examples of eng_Latn": [run, run_of(tmp_path / "c", ids=41)],
        "has other labels": [run, run_of(tmp_path / "d", labels=["a", "b"])],
    }
    for says, paths in other.items():
        with pytest.raises(RunError, match=says):
            side_by_side.compare(paths)


def test_command(tmp_path):
    paths = [str(run_of(tmp_path / "a", 0.3)), str(run_of(tmp_path / "b", 0.9))]
    shown = CliRunner().invoke(app, ["compare", *paths], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "mean of the targets" in shown.output
    plain = CliRunner().invoke(app, ["compare", "--json", *paths], catch_exceptions=False)
    assert json.loads(plain.stdout)["lines"][-1]["language"] == "targets"
