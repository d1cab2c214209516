"""The order of a run, what it leaves behind, and what goes on where: with fakes of the two long
stages, so that every moment can be hit."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_stages import Fakes

from lowres import artifacts, evaluate, pipeline, train
from lowres.errors import DeviceError, Interrupted, RunError
from lowres.pipeline import plan, run, run_folder, untrusted
from lowres.recipe_loading import dump, load
from lowres.results import FailureRecord


@pytest.fixture
def recipe(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load(
        "quickstart",
        [
            f"base.name={tiny_base}",
            "base.quantization=none",
            "languages.targets=[swh_Latn, amh_Ethi]",
            "evaluate.bootstrap=100",
            "seeds=[1, 2]",
        ],
    )


@pytest.fixture
def fakes(monkeypatch):
    return Fakes(monkeypatch)


ALL = ["train 1", "train 2", "baselines", "adapter 1", "adapter 2"]


def states(recipe, out=None):
    return {stage.name: stage.state for stage in plan(recipe, out)}


def test_the_stages_in_order_and_once(recipe, fakes):
    assert set(states(recipe).values()) >= {"to do"}
    results = run(recipe)
    assert fakes.calls == ALL
    folder = run_folder(recipe)
    assert folder.parent == Path("runs")
    assert folder.name.startswith("quickstart-")
    assert (folder / "recipe.yaml").read_text(encoding="utf-8") == dump(recipe)
    assert json.loads((folder / "results.json").read_text())["schema"] == 1
    assert (folder / "predictions" / "1" / "swh_Latn.jsonl").is_file()
    assert (folder / "report.html").is_file()
    assert [s.name for s in results.stages] == ["train/1", "train/2", "evaluate"]
    assert all(s.planned_mb is not None for s in results.stages)
    assert states(recipe)["evaluate"] == "done"
    again = run(recipe)
    assert fakes.calls == ALL
    assert again.scores == results.scores


@pytest.mark.parametrize("moment", ALL)
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (Interrupted("interrupted at step 3 of 9"), Interrupted),
        (OSError(errno.ENOSPC, "No space left on device"), RunError),
        (RuntimeError("CUDA out of memory."), DeviceError),
    ],
    ids=["ctrl-c", "interrupted", "disk", "memory"],
)
def test_it_goes_on_where_it_stopped(recipe, fakes, moment, error, raised):
    fakes.at[moment] = error
    with pytest.raises(raised):
        run(recipe)
    done = ALL[: ALL.index(moment) + 1]
    assert fakes.calls == done
    folder = run_folder(recipe)
    assert not (folder / "results.json").exists()
    if moment.startswith("train"):
        partial = artifacts.partial_path(folder / moment.replace(" ", "/"))
        assert (partial / "checkpoint").read_text() == "kept"
        assert states(recipe)[moment.replace(" ", "/")] == "resumes"
    fakes.calls.clear()
    run(recipe)
    # a stage is done again from where its files are; what is finished is not
    first = "baselines" if ALL.index(moment) >= 2 else moment
    assert fakes.calls == ALL[ALL.index(first) :]


def test_a_full_disk_at_the_write_boundary(recipe, fakes, monkeypatch):
    """The first file that a later stage writes meets the full disk; the trained seeds stay."""
    real = artifacts.os.fsync

    def full_after_training(descriptor):
        if "train 2" in fakes.calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(artifacts.os, "fsync", full_after_training)
    with pytest.raises(RunError, match=r"the disk is full .* give the same command again"):
        run(recipe)
    assert [*states(recipe).values()][2:4] == ["done", "resumes"]
    monkeypatch.setattr(artifacts.os, "fsync", real)
    run(recipe)
    assert fakes.calls == ["train 1", "train 2", "train 2", "baselines", "adapter 1", "adapter 2"]


def test_other_data_trains_anew_in_the_same_folder(recipe, fakes, tmp_path, monkeypatch):
    import shutil

    from lowres.registry import PACKAGE_DIR

    shutil.copytree(PACKAGE_DIR / "demo", tmp_path / "demo")
    study = load(
        "quickstart",
        [
            f"base.name={recipe.base.name}",
            "languages.targets=[swh_Latn]",
            "data.files=demo/{lang}/{split}.jsonl",
            "evaluate.bootstrap=100",
        ],
    )
    run(study)
    test = tmp_path / "demo" / "swh_Latn" / "test.jsonl"
    test.write_text("\n".join(test.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    fakes.calls.clear()
    assert {s.n for s in run(study).scores if s.language == "swh_Latn"} == {41}
    assert fakes.calls == ["baselines", "adapter 1"]
    file = tmp_path / "demo" / "eng_Latn" / "train.jsonl"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    fakes.calls.clear()
    run(study)
    assert fakes.calls == ["train 1", "baselines", "adapter 1"]


def test_a_damaged_stage_is_made_again(recipe, fakes):
    run(recipe)
    (run_folder(recipe) / "train" / "2" / "checkpoint").write_text("damaged")
    fakes.calls.clear()
    run(recipe)
    assert fakes.calls == ["train 2"]


def test_the_folder_of_another_recipe(recipe, fakes, tmp_path):
    run(recipe, tmp_path / "here")
    other = load("quickstart", [f"base.name={recipe.base.name}", "seeds=[3]"])
    with pytest.raises(RunError, match="another recipe"):
        run(other, tmp_path / "here")
    assert fakes.calls == ALL


def test_two_runs_of_one_recipe(recipe, fakes, monkeypatch):
    def meanwhile(*args, **known):
        with pytest.raises(RunError, match="another process"):
            run(recipe)
        return ["majority"]

    monkeypatch.setattr(evaluate, "predict_baselines", meanwhile)
    run(recipe)
    assert fakes.calls == [call for call in ALL if call != "baselines"]


def test_a_drive_without_links(recipe, fakes, monkeypatch, capsys):
    from lowres.progress import Terminal

    def refused(self, target, target_is_directory=False):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refused)
    run(recipe, progress=Terminal())
    assert not (run_folder(recipe) / "predictions").exists()
    said = capsys.readouterr().err.replace("\n", "")
    assert str(run_folder(recipe) / "evaluate" / "predictions") in said


def test_what_must_not_be_trusted():
    def seed(number, status):
        return SimpleNamespace(seed=number, status=status)

    def verdict(language, word):
        return SimpleNamespace(language=language, verdict=word, reason="because")

    results = SimpleNamespace(
        seeds=[seed(1, "ok"), seed(2, "nan"), seed(3, "collapsed")],
        verdicts=[
            verdict("swh_Latn", "transfers"),
            verdict("nqo_Nkoo", "collapsed"),
            verdict("tzm_Tfng", "negative transfer"),
            verdict("kin_Latn", "no better than TF-IDF"),
        ],
        failures=[
            FailureRecord(
                system="10-shot", seed=1, draw=2, languages=["swh_Latn"], status="collapsed"
            )
        ],
    )
    assert [line.split(":")[0] for line in untrusted(results)] == [
        "seed 2", "seed 3", "10-shot of swh_Latn, draw 2, seed 1", "nqo_Nkoo", "tzm_Tfng",
    ]  # fmt: skip


def test_the_other_processes_of_a_team_write_nothing(recipe, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(train, "train", lambda recipe, seed, *rest, **known: seen.append(seed))
    with pytest.raises(SystemExit) as left:
        pipeline.run(recipe)
    assert (left.value.code, seen) == (0, [1, 2])
    assert not list(tmp_path.iterdir())
