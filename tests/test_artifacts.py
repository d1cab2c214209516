"""The run folder: whole stages, one holder, nothing lost on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

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


def test_a_card_is_measured_by_what_torch_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    folder = RunFolder(tmp_path)
    with folder.stage("train/1", "a"):
        pass
    found = folder.manifest("train/1")
    assert found is not None
    assert torch.cuda.is_initialized() or found.gpu_mb is None
    # as on a machine with a GPU: a peak of before is none of this stage's
    peak = [9_000 * 2**20]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", peak.clear)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: sum(peak))
    with folder.stage("train/2", "a"):
        peak.append(1_234 * 2**20)
    found = folder.manifest("train/2")
    assert found is not None
    assert found.gpu_mb == 1_234


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


def test_who_leaves_before_the_first_stage_leaves_nothing(tmp_path: Path) -> None:
    def fail_at_once(folder: RunFolder, write: bool) -> None:
        with folder.locked("name: a\n"), folder.stage("train/1", "a") as stage:
            assert (folder.path / "recipe.yaml").read_text() == "name: a\n"
            if write:
                (stage.path / "checkpoint").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail_at_once(RunFolder(tmp_path / "runs" / "a"), write=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError):
        fail_at_once(RunFolder(tmp_path / "runs" / "a"), write=True)
    assert (tmp_path / "runs" / "a" / "train" / ".1.partial" / "checkpoint").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyError):
        fail_at_once(RunFolder(tmp_path / "mine"), write=False)
    assert not list((tmp_path / "mine").iterdir()), "a folder that was there stays"


class SerialisationError(Exception):
    """As safetensors: no errno, only words."""


@pytest.mark.parametrize(
    ("error", "free_mb", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 900, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 900, True),
        (OSError(errno.ENOENT, "No such file"), 0, False),
        (SerialisationError("I/O error"), 0, True),
        (SerialisationError("I/O error"), 900, False),
        (RunError("said already"), 0, False),
        (KeyboardInterrupt(), 0, False),
    ],
)
def test_a_full_disk_is_told_whoever_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, free_mb: int, full: bool
) -> None:
    usage = SimpleNamespace(free=free_mb * 2**20)
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda path: usage)

    def stage_that_fails() -> None:
        with RunFolder(tmp_path).stage("train/1", "a") as stage:
            (stage.path / "checkpoint").write_text("whole")
            raise error

    with pytest.raises(RunError if full else type(error)) as caught:
        stage_that_fails()
    assert ("the disk is full" in str(caught.value)) == full
    assert (tmp_path / "train" / ".1.partial" / "checkpoint").read_text() == "whole"


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    artifacts.write_text(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        artifacts.write_text(file, "new")
    assert [f.read_text() for f in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_rights_that_new_files_have(tmp_path: Path, mask: int, mode: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    before = os.umask(mask)
    try:
        with artifacts.new_folder(tmp_path / "made", "--out") as folder:
            save_file({"rows": np.zeros(3)}, folder / "rows.safetensors")
        with RunFolder(tmp_path).stage("adapt", "a") as stage:
            (stage.path / "adapter").mkdir()
            save_file({"rows": np.zeros(3)}, stage.path / "adapter/rows.safetensors")
    finally:
        os.umask(before)
    for name in ("made", "adapt/adapter"):
        assert (tmp_path / name / "rows.safetensors").stat().st_mode & 0o777 == mode
