from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from lowres import averaging


def checkpoint(folder, **tensors):
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_the_mean_leaves_out_the_first(tmp_path):
    kept = tmp_path / averaging.EPOCHS
    for step, value in ((5, 100.0), (10, 1.0), (25, 2.0), (15, 6.0)):
        folder = checkpoint(
            tmp_path / str(step), a=torch.full((2, 3), value), b=torch.tensor([1.0])
        )
        averaging.keep(folder, kept, step)
    assert averaging.steps(kept) == [10, 15, 25]
    mean = averaging.mean(kept)
    assert mean.keys() == {"a", "b"}
    assert torch.equal(mean["a"], torch.full((2, 3), 3.0))
    assert mean["a"].dtype == torch.float32


def test_one_alone_is_its_own_mean(tmp_path):
    folder = checkpoint(tmp_path / "c", a=torch.tensor([1.0, 2.0]))
    averaging.keep(folder, tmp_path / averaging.EPOCHS, 7)
    assert averaging.steps(tmp_path / averaging.EPOCHS) == [7]
    assert averaging.mean(tmp_path / averaging.EPOCHS)["a"].tolist() == [1.0, 2.0]


def test_a_step_that_comes_again_after_a_kill_replaces_the_first(tmp_path):
    kept = tmp_path / averaging.EPOCHS
    averaging.keep(checkpoint(tmp_path / "a", a=torch.tensor([1.0])), kept, 7)
    (kept / "9.half").write_bytes(b"half a file")
    averaging.keep(checkpoint(tmp_path / "b", a=torch.tensor([5.0])), kept, 7)
    assert averaging.steps(kept) == [7]
    assert averaging.mean(kept)["a"].tolist() == [5.0]


def test_a_copy_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    kept = tmp_path / averaging.EPOCHS
    averaging.keep(checkpoint(tmp_path / "a", a=torch.tensor([1.0])), kept, 7)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(averaging.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        averaging.keep(tmp_path / "a", kept, 9)
    assert averaging.steps(kept) == [7]


def test_what_was_kept_is_forgotten_if_there_is_any(tmp_path):
    kept = tmp_path / averaging.EPOCHS
    averaging.forget(kept)
    averaging.keep(checkpoint(tmp_path / "a", a=torch.tensor([1.0])), kept, 7)
    averaging.forget(kept)
    assert not kept.exists()
