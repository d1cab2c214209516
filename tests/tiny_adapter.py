"""Adapters over a tiny base without any training: as a run saves them, and as peft alone does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_language
import tiny_study
import torch

from lowres import adapter_files, bases, lora, model, quiet
from lowres.hardware import Hardware


def adapter_of(folder: Path, base: Path, task: str, quantization: str = "none") -> Path:
    """A fresh adapter with a trained-looking head, saved as a run saves it."""
    recipe = tiny_study.recipe(base, task)
    labels = tiny_study.data(task).labels
    located = bases.locate(str(base))
    torch.manual_seed(1)
    loaded = model.load_base(located, recipe.base, recipe.task, labels, Hardware("cpu", "fp32"))
    network = lora.attach(loaded, recipe.lora, recipe.task, located.name)
    adapter_files.save_adapter(network, folder, located, recipe.task, labels, 24, quantization)
    return folder


def of_peft_alone(folder: Path, base: Path, task_type: str, config: Any = None) -> Path:
    """What somebody's script saves that knows of peft and not of lowres: five labels."""
    import transformers
    from peft import LoraConfig, get_peft_model

    kind = "Token" if task_type == "TOKEN_CLS" else "Sequence"
    auto = getattr(transformers, f"AutoModelFor{kind}Classification")
    torch.manual_seed(3)
    network = auto.from_pretrained(base, num_labels=5)
    with quiet.peft():
        plain = LoraConfig(task_type=task_type, r=3, target_modules=["query", "value"])
        made = get_peft_model(network, config or plain)
    tiny_language.fill(made)
    made.save_pretrained(str(folder))
    return folder
