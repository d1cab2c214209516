"""One set of weights from all that were evaluated in a training: the mean of the checkpoints.

Which of them has the best score on the source's dev set says little about the targets, and the
mean of several is steadier than any one (Schmidt, Vulić and Glavaš 2023, "Free Lunch: Robust
Cross-Lingual Transfer via Model Checkpoint Averaging", ACL, arXiv:2305.16834). Only what trains
is averaged: LoRA and the head.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

EPOCHS = "epochs"


def keep(checkpoint: Path, folder: Path, step: int) -> None:
    """Copy a checkpoint's trained weights to `folder/<step>.safetensors`, whole or not at all."""
    from peft.utils import SAFETENSORS_WEIGHTS_NAME

    folder.mkdir(exist_ok=True)
    half = folder / f"{step}.half"
    shutil.copyfile(checkpoint / SAFETENSORS_WEIGHTS_NAME, half)
    half.replace(folder / f"{step}.safetensors")


def steps(folder: Path) -> list[int]:
    """The steps that are averaged: all that were kept but the first, where the rate had just
    risen."""
    kept = sorted(int(file.stem) for file in folder.glob("*.safetensors"))
    return kept[1:] or kept


def mean(folder: Path) -> dict[str, torch.Tensor]:
    """The mean of the kept weights, tensor by tensor, in their own type."""
    import torch
    from safetensors.torch import load_file

    kept = [load_file(folder / f"{step}.safetensors") for step in steps(folder)]
    return {
        name: torch.stack([one[name] for one in kept]).double().mean(0).to(first.dtype)
        for name, first in kept[0].items()
    }


def forget(folder: Path) -> None:
    """Remove what was kept, if there is any."""
    if folder.exists():
        shutil.rmtree(folder)
