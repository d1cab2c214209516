"""The main job through the command line: demo data and a tiny base, from recipe to prediction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lowres.cli import app
from lowres.results import Results

pytestmark = pytest.mark.slow


def call(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def overrides(base: Path, quantization: str, task: str) -> list[str]:
    chosen = [
        f"base.name={base}",
        f"base.quantization={quantization}",
        "languages.targets=[swh_Latn, amh_Ethi]",
        "train.steps=6",
        "evaluate.bootstrap=100",
    ]
    if task == "tagging":
        chosen += ["task.name=tagging", "data.columns={tokens: tokens, tags: tags}"]
    return chosen


@pytest.mark.parametrize(
    ("quantization", "task"),
    [("none", "classification"), ("8bit", "classification"), ("none", "tagging")],
)
def test_from_recipe_to_prediction(
    tiny_base: Path, tmp_path: Path, quantization: str, task: str
) -> None:
    out = tmp_path / "run"
    words = ["run", "quickstart", *overrides(tiny_base, quantization, task), "--out", str(out)]

    done = call(*words, "--json")
    assert done.exit_code in (0, 3), done.stderr  # a random base may well collapse, and is told
    assert done.stdout == (out / "results.json").read_text(encoding="utf-8")
    results = Results.model_validate_json(done.stdout)
    assert {s.system for s in results.scores} >= {"adapter", "majority", "probe"}
    assert [v.language for v in results.verdicts] == ["swh_Latn", "amh_Ethi"]
    assert {s.n for s in results.scores} == {42}
    assert results.base.quantization == quantization
    assert (out / "report.html").is_file()
    assert len((out / "predictions" / "1" / "swh_Latn.jsonl").read_text().splitlines()) == 42

    manifest = (out / "train" / "1" / "manifest.json").read_text(encoding="utf-8")
    again = call(*words)
    assert again.exit_code == done.exit_code
    assert "done before" in again.stderr
    assert (out / "train" / "1" / "manifest.json").read_text(encoding="utf-8") == manifest

    lines = ["Mvua inanyesha leo.", "", "Timu ya Nairobi ilishinda mechi."]
    answered = call("predict", str(out / "train" / "1" / "adapter"), stdin="\n".join(lines) + "\n")
    assert answered.exit_code == 0, answered.stderr
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    assert len(answers) == 3
    if task == "tagging":
        assert [len(a["predicted"]) for a in answers] == [3, 0, 5]
    else:
        assert {a["predicted"] for a in answers} <= set(results.labels)


def test_a_run_of_another_recipe_is_left_alone(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: other\n")
    words = overrides(tiny_base, "none", "classification")
    refused = call("run", "quickstart", *words, "--out", str(tmp_path))
    assert refused.exit_code == 2
    assert "another recipe" in refused.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["recipe.yaml"]
