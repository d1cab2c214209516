"""Processes that train and kill themselves, as `kill -9` would, at a moment of training."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tiny_study

from lowres import adapter_files, training_callbacks
from lowres.recipe import Recipe
from lowres.trainer import SourceTrainer

MOMENTS: dict[str, tuple[Any, str]] = {
    "evaluate": (SourceTrainer, "evaluate"),  # all steps of an epoch are done, no score is there
    "save": (SourceTrainer, "_save_optimizer_and_scheduler"),  # a checkpoint is half written
    "step": (SourceTrainer, "training_step"),  # before the optimizer's step of that number
    "tidy": (SourceTrainer, "_load_best_model"),  # all steps are done
    "adapter": (adapter_files, "save_adapter"),
    "rotate": (training_callbacks.shutil, "rmtree"),  # a checkpoint is half removed
}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(moment: str) -> None:
    """`MOMENT`, or `MOMENT:STEP` for the moments of the Trainer: with that many steps done."""
    name, _, step = moment.partition(":")
    owner, attribute = MOMENTS[name]
    real = getattr(owner, attribute)

    def last(*known: Any, **named: Any) -> Any:
        if step and known[0].state.global_step != int(step):
            return real(*known, **named)
        if real is shutil.rmtree:
            files = (path for path in Path(known[0]).iterdir())
            next(file for file in files if file.name != training_callbacks.WHOLE).unlink()
        return kill()

    # a staticmethod would lose self, a plain function is bound like the method that it replaces
    setattr(owner, attribute, last)


def live(study: str, folder: str, moment: str, save_every_s: float) -> None:
    """Train, and write down what it came to; killed before, if a moment is given."""
    if moment:
        killed_at(moment)
    outcome = tiny_study.train(Recipe.model_validate_json(study), Path(folder), save_every_s)
    (Path(folder) / "outcome.json").write_text(json.dumps(asdict(outcome)))
