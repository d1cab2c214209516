"""The recipe's `train` section in transformers' words: arguments, batches, loggers."""

from __future__ import annotations

import importlib.util
import math
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

from lowres.errors import DeviceError
from lowres.hardware import Hardware
from lowres.recipe import Recipe, Train
from lowres.training_callbacks import CHECKPOINTS, Checkpoint, is_main

EVENTS = "tensorboard"


def steps_an_epoch(options: Train, windows: int) -> int:
    """Optimiser steps in which every window is seen once."""
    return -(-windows // options.batch)


def training_arguments(
    recipe: Recipe,
    seed: int,
    windows: int,
    hardware: Hardware,
    folder: Path,
    rate_factor: float = 1.0,
) -> TrainingArguments:
    """The recipe's `train` section in transformers' words; the effective batch is kept on any
    number of processes and GPUs. Raises `DeviceError` when the processes do not divide it."""
    options = recipe.train
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    asked = options.micro_batch
    micro, passes = split_batch(options.batch, None if asked == "auto" else asked, processes)
    steps = options.steps or max(1, round(options.epochs * steps_an_epoch(options, windows)))
    border = "no" if options.checkpoint == "last" else "epoch"
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=steps,
        # a whole step: `SourceTrainer.training_step` cuts it into micro-batches
        per_device_train_batch_size=micro * passes,
        average_tokens_across_devices=True,
        # all that trains is used in every step; looking for what is not costs time and warns
        ddp_find_unused_parameters=False,
        learning_rate=options.learning_rate * rate_factor,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(options.warmup * steps),
        weight_decay=options.weight_decay,
        bf16=hardware.precision == "bf16",
        fp16=hardware.precision == "fp16",
        use_cpu=hardware.device == "cpu",
        eval_strategy=border,
        save_strategy=border,
        load_best_model_at_end=border == "epoch",
        metric_for_best_model="score",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        # a NaN must be seen, not averaged away
        logging_nan_inf_filter=False,
        logging_steps=max(1, steps // 60),
        logging_first_step=True,
        log_level_replica="error",
        remove_unused_columns=False,
        # the last batch is full already; see sampling.py
        dataloader_drop_last=False,
        dataloader_pin_memory=hardware.device == "cuda",
        # the next batch goes to the card while this one is computed
        accelerator_config={"non_blocking": hardware.device == "cuda"},
        disable_tqdm=True,
        report_to=_loggers(options),
        run_name=f"{recipe.name}-{seed}",
        seed=seed,
        data_seed=seed,
        **_checkpointing(options),
    )
    if arguments.n_gpu > 1:
        # several GPUs in one process would be DataParallel, and multiply the batch in silence;
        # `accelerate launch` is the way to use them
        arguments._n_gpu = 1
    return arguments


def _loggers(options: Train) -> list[str] | str:
    """Event files are written by a callback of our own, into the run folder."""
    return [name for name in options.report_to if name != "tensorboard"] or "none"


def _checkpointing(options: Train) -> dict[str, Any]:
    """Activation checkpointing by the name that this version of transformers has for it."""
    if not options.gradient_checkpointing:
        return {}
    known = {field.name for field in fields(TrainingArguments)}
    name = "activation_checkpointing"
    name = name if name in known else "gradient_checkpointing"
    # reentrant checkpoints pass no gradient where the inputs, here frozen embeddings, need none
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}}


def split_batch(batch: int, micro: int | None, processes: int) -> tuple[int, int]:
    """(windows a forward pass, passes accumulated) with micro x passes x processes = batch.

    Raises `DeviceError` when that has no answer in whole numbers.
    """
    if batch % processes:
        raise DeviceError(
            f"train.batch {batch} does not divide among {processes} processes; make it a multiple"
        )
    share = batch // processes
    micro = min(micro or share, share)
    if share % micro:
        raise DeviceError(
            f"train.micro_batch {micro} does not divide the {share} windows of each of "
            f"{processes} processes; make it a divisor"
        )
    return micro, share // micro


def early_stopping(options: Train) -> list[TrainerCallback]:
    """Early stopping on source dev, if the recipe asks for it."""
    return [EarlyStoppingCallback(options.patience)] if options.patience else []


def event_files(
    options: Train, folder: Path, newest: Checkpoint | None = None
) -> list[TrainerCallback]:
    """TensorBoard's event files in `folder/tensorboard`, if the recipe asks for them.

    Raises `DeviceError` when what the recipe reports to is not installed.
    """
    for name in options.report_to:
        if importlib.util.find_spec(name) is None:
            raise DeviceError(
                f"train.report_to: {name} is not installed here; pip install {name}, or leave it "
                "out"
            )
    if "tensorboard" not in options.report_to or not is_main():
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    # what a killed run logged after its last checkpoint is hidden: it comes again
    writer = SummaryWriter(str(folder / EVENTS), purge_step=newest.step + 1 if newest else None)
    return [TensorBoardCallback(writer)]
