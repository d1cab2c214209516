"""One seed of training: LoRA and head on the source language, chosen on source dev."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    TrainingArguments,
    set_seed,
)

from lowres import artifacts, inference, model, training_callbacks
from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.progress import Progress
from lowres.recipe import Recipe, Train
from lowres.sampling import LengthGrouped
from lowres.stats import collapsed, value_of
from lowres.trainer import Collate, Loss, SourceTrainer

CHECKPOINTS = "checkpoints"
ATTEMPT = "attempt.json"


@dataclass(frozen=True)
class Attempt:
    """Learning rates are multiplied by `rate_factor`; a collapsed run is tried again at half."""

    rate_factor: float = 1.0
    retried: bool = False


@dataclass(frozen=True)
class Outcome:
    """What training one seed came to. `curves` rows are (step, epoch, name, value)."""

    seed: int
    status: str
    retried: bool
    learning_rate: float
    best_step: int
    steps: int
    dev: float
    parameters: int
    trainable_parameters: int
    curves: list[tuple[int, float, str, float]]


def train(
    recipe: Recipe,
    seed: int,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    folder: Path,
    progress: Progress,
) -> Outcome:
    """Train one seed into `folder/adapter`; goes on from the newest whole checkpoint there.

    A run that ends in NaN or answers one class on source dev is tried once more at half the
    learning rates; the second outcome stands, whatever it is.
    """
    attempt = _attempt(folder)
    outcome = _train_once(recipe, seed, data, located, hardware, folder, progress, attempt)
    if outcome.status != "ok" and not attempt.retried:
        progress.say(f"seed {seed}: {outcome.status}; once more at half the learning rate")
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        attempt = Attempt(rate_factor=0.5, retried=True)
        artifacts.write_text(folder / ATTEMPT, json.dumps(asdict(attempt)))
        outcome = _train_once(recipe, seed, data, located, hardware, folder, progress, attempt)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / ATTEMPT).unlink(missing_ok=True)
    return outcome


def _attempt(folder: Path) -> Attempt:
    file = folder / ATTEMPT
    return Attempt(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else Attempt()


def _train_once(
    recipe: Recipe,
    seed: int,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    folder: Path,
    progress: Progress,
    attempt: Attempt,
) -> Outcome:
    task, options, labels = recipe.task, recipe.train, data.labels
    set_seed(seed)
    tokenizer = model.load_tokenizer(located)
    base = model.load_base(located, recipe.base, task, labels, hardware)
    network = model.attach_lora(base, recipe.lora, task, located.name)
    windows = task.encode(data.train, tokenizer, labels, options.max_tokens)
    dev = SourceDev(recipe, data, tokenizer, hardware)
    arguments = training_arguments(recipe, seed, len(windows), hardware, folder, attempt)
    watch = training_callbacks.Watch(seed, arguments.max_steps, steps_an_epoch(options, windows))
    with progress.bar(f"train, seed {seed}", arguments.max_steps) as advance:
        trainer = SourceTrainer(
            model=network,
            args=arguments,
            train_dataset=windows,
            eval_dataset=data.dev,
            data_collator=Collate(int(tokenizer.pad_token_id or 0)),
            compute_loss_func=Loss(options.label_smoothing),
            callbacks=[watch, training_callbacks.Bar(advance), *early_stopping(options)],
            score=dev.score,
            head_rate=options.head_learning_rate / options.learning_rate,
            order=LengthGrouped([len(ids) for ids in windows["input_ids"]], options.batch, seed),
        )
        _go_on(trainer, watch, folder)
    status = "nan" if watch.diverged else "collapsed" if dev.collapsed(network) else "ok"
    if arguments.should_save:
        trained = trainer.accelerator.unwrap_model(trainer.model)
        model.save_adapter(
            trained,
            folder / "adapter",
            located,
            task,
            labels,
            options.max_tokens,
            recipe.base.quantization,
        )
    total, trainable = model.count_parameters(network)
    state = trainer.state
    return Outcome(
        seed=seed,
        status=status,
        retried=attempt.retried,
        learning_rate=arguments.learning_rate,
        best_step=int(state.best_global_step or 0),
        steps=state.global_step,
        dev=float(state.best_metric or 0.0),
        parameters=total,
        trainable_parameters=trainable,
        curves=training_callbacks.curves(state.log_history, dev.metric),
    )


def _go_on(trainer: SourceTrainer, watch: training_callbacks.Watch, folder: Path) -> None:
    """Train from the newest whole checkpoint, or from the start."""
    newest = training_callbacks.newest_whole_checkpoint(folder / CHECKPOINTS)
    with training_callbacks.interruptible(watch):
        try:
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        except OSError as error:
            raise artifacts.disk_error(error, folder) from error


class SourceDev:
    """The source's dev set, as the model answers it."""

    def __init__(
        self, recipe: Recipe, data: LabelledData, tokenizer: Any, hardware: Hardware
    ) -> None:
        self.metric = chosen_metric(recipe, data.labels)
        self._recipe = recipe
        self._data = data
        self._tokenizer = tokenizer
        self._hardware = hardware
        self._gold = list(data.dev[recipe.task.gold_field])

    def score(self, network: Any) -> float:
        """The metric that checkpoints are chosen by."""
        return value_of(self.metric, self._gold, self._answers(network), self._data.labels)

    def collapsed(self, network: Any) -> bool:
        """Whether nearly all answers are one label."""
        return collapsed(self._answers(network), self._gold)

    def _answers(self, network: Any) -> list[Any]:
        recipe = self._recipe
        answers = inference.predict(
            network,
            self._tokenizer,
            recipe.task,
            self._data.labels,
            self._data.dev,
            self._hardware,
            recipe.train.max_tokens,
            recipe.evaluate.batch_tokens,
        )
        return [answer.answer for answer in answers]


def chosen_metric(recipe: Recipe, labels: Sequence[str]) -> str:
    """The metric that checkpoints are chosen by: the recipe's first, or the task's own."""
    if recipe.evaluate.metrics != "auto":
        return recipe.evaluate.metrics[0]
    return str(recipe.task.metrics(labels)[0])


def steps_an_epoch(options: Train, windows: Dataset) -> int:
    """Optimiser steps in which every window is seen once."""
    return -(-len(windows) // options.batch)


def training_arguments(
    recipe: Recipe, seed: int, windows: int, hardware: Hardware, folder: Path, attempt: Attempt
) -> TrainingArguments:
    """The recipe's `train` section in transformers' words; the effective batch is kept on any
    number of processes. Raises `RecipeError` when the processes do not divide it."""
    options = recipe.train
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    micro, accumulation = split_batch(options.batch, options.micro_batch, processes)
    epoch_steps = -(-windows // options.batch)
    steps = options.steps or max(1, round(options.epochs * epoch_steps))
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        learning_rate=options.learning_rate * attempt.rate_factor,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(options.warmup * steps),
        weight_decay=options.weight_decay,
        bf16=hardware.precision == "bf16",
        fp16=hardware.precision == "fp16",
        use_cpu=hardware.device == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        # a NaN must be seen, not averaged away
        logging_nan_inf_filter=False,
        logging_steps=max(1, steps // 60),
        logging_first_step=True,
        remove_unused_columns=False,
        # the last batch is full already; see sampling.py
        dataloader_drop_last=False,
        dataloader_pin_memory=hardware.device == "cuda",
        disable_tqdm=True,
        report_to=list(options.report_to) or "none",
        run_name=f"{recipe.name}-{seed}",
        seed=seed,
        data_seed=seed,
    )
    if options.gradient_checkpointing:
        # under its old name it warns, and transformers 5.0 has only that one
        name = "activation_checkpointing"
        setattr(arguments, name if hasattr(arguments, name) else "gradient_checkpointing", True)
    return arguments


def split_batch(batch: int, micro: int | None, processes: int) -> tuple[int, int]:
    """(windows a forward pass, passes accumulated) with micro x passes x processes = batch.

    Raises `DeviceError` when that has no answer in whole numbers.
    """
    from lowres.errors import DeviceError

    if batch % processes:
        raise DeviceError(
            f"train.batch {batch} does not divide among {processes} processes; make it a multiple"
        )
    share = batch // processes
    micro = min(micro or share, share)
    if share % micro:
        raise DeviceError(
            f"train.micro_batch {micro} does not divide the {share} windows of each process"
        )
    return micro, share // micro


def early_stopping(options: Train) -> list[EarlyStoppingCallback]:
    """Early stopping on source dev, if the recipe asks for it."""
    return [EarlyStoppingCallback(options.patience)] if options.patience else []
