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

SNAPSHOTS = "snapshots"
ADAPTER_FILE = "adapter_model.safetensors"


def keep(checkpoint: Path, folder: Path, step: int) -> None:
    """Copy a checkpoint's trained weights to `folder/<step>.safetensors`, whole or not at all."""
    folder.mkdir(exist_ok=True)
    half = folder / f"{step}.half"
    shutil.copyfile(checkpoint / ADAPTER_FILE, half)
    half.replace(folder / f"{step}.safetensors")


def steps(folder: Path) -> list[int]:
    """The steps that are averaged: all that were kept but the first, where the rate had just
    risen."""
    kept = sorted(int(file.stem) for file in folder.glob("*.safetensors"))
    return kept[1:] or kept


def mean(folder: Path) -> dict[str, torch.Tensor]:
    """The mean of the kept weights, tensor by tensor, in their own type."""
    from safetensors.torch import load_file

    chosen = steps(folder)
    total: dict[str, torch.Tensor] = {}
    for step in chosen:
        for name, value in load_file(folder / f"{step}.safetensors").items():
            total[name] = total[name] + value.double() if name in total else value.double()
    dtypes = load_file(folder / f"{chosen[0]}.safetensors")
    return {name: (value / len(chosen)).to(dtypes[name].dtype) for name, value in total.items()}
