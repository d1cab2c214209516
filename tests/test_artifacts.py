"""The run folder: whole stages, one holder, nothing lost on a full disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lowres import artifacts
from lowres.artifacts import RunFolder
from lowres.errors import RunError


def break_off(folder: RunFolder, name: str, file: str) -> None:
    stage = folder.stage(name, "a")
    (stage.__enter__().path / file).write_text("x")
    assert not stage.__exit__(KeyError, KeyError(), None)


def test_a_stage_is_whole_or_absent(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    break_off(folder, "train/1", "half")
    assert folder.finished("train/1", "a") is None
    with folder.stage("train/1", "a") as stage:
        assert (stage.path / "half").exists(), "the same inputs go on where the stage was"
        stage.notes["score"] = 1
    done = folder.finished("train/1", "a")
    assert done is not None
    assert (done.notes["score"], list(done.outputs)) == (1, ["half"])
    assert done.peak_mb > 1
    assert folder.finished("train/1", "b") is None
    (tmp_path / "train/1/half").write_text("damaged")
    assert folder.finished("train/1", "a") is None


def test_other_inputs_start_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    break_off(folder, "evaluate", "old")
    with folder.stage("evaluate", "b") as stage:
        assert not (stage.path / "old").exists()


def test_one_holder(tmp_path: Path) -> None:
    with RunFolder(tmp_path).locked("name: a\n"):
        with pytest.raises(RunError, match="another process"):
            RunFolder(tmp_path).locked("name: a\n").__enter__()
        with pytest.raises(RunError, match="another recipe"):
            RunFolder(tmp_path).locked("name: b\n").__enter__()


def test_strangers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="no run of lowres"):
        RunFolder(tmp_path).locked("name: a\n").__enter__()
    with pytest.raises(RunError, match="a file stands"):
        RunFolder(tmp_path / "thesis.txt").locked("name: a\n").__enter__()


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    artifacts.write_text(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        artifacts.write_text(file, "new")
    assert [f.read_text() for f in tmp_path.iterdir()] == ["old"]
