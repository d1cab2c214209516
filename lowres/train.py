"""One seed of training: LoRA and head on the source language, chosen on source dev."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
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
    metric = chosen_metric(recipe, labels)

    def dev_score(trained: Any) -> float:
        answers = inference.predict(
            trained,
            tokenizer,
            task,
            labels,
            data.dev,
            hardware,
            options.max_tokens,
            recipe.evaluate.batch_tokens,
        )
        gold = list(data.dev[task.gold_field])
        return value_of(metric, gold, [a.answer for a in answers], labels)

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
            score=dev_score,
            head_rate=options.head_learning_rate / options.learning_rate,
            order=LengthGrouped([len(ids) for ids in windows["input_ids"]], options.batch, seed),
        )
        newest = training_callbacks.newest_whole_checkpoint(folder / CHECKPOINTS)
        with training_callbacks.interruptible(watch):
            try:
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
            except OSError as error:
                raise artifacts.disk_error(error, folder) from error
    status = "nan" if watch.diverged else "ok"
    if status == "ok" and _collapsed_on_dev(network, tokenizer, recipe, data, hardware):
        status = "collapsed"
    if arguments.should_save:
        model.save_adapter(
            trainer.accelerator.unwrap_model(trainer.model),
            folder / "adapter",
            located,
            task,
            labels,
            options.max_tokens,
            recipe.base.quantization,
        )
    total, trainable = model.count_parameters(network)
    return Outcome(
        seed,
        status,
        attempt.retried,
        arguments.learning_rate,
        int(trainer.state.best_global_step or 0),
        trainer.state.global_step,
        float(trainer.state.best_metric or 0.0),
        total,
        trainable,
        training_callbacks.curves(trainer.state.log_history, metric),
    )


def _collapsed_on_dev(
    network: Any, tokenizer: Any, recipe: Recipe, data: LabelledData, hardware: Hardware
) -> bool:
    answers = inference.predict(
        network,
        tokenizer,
        recipe.task,
        data.labels,
        data.dev,
        hardware,
        recipe.train.max_tokens,
        recipe.evaluate.batch_tokens,
    )
    return collapsed([a.answer for a in answers], list(data.dev[recipe.task.gold_field]))


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
    return TrainingArguments(
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
        **({"gradient_checkpointing": True} if options.gradient_checkpointing else {}),
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


class Collate:
    """Windows to padded tensors, labels to [batch] or [batch, tokens] (-100 on padding)."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of windows."""
        inputs = inference.model_inputs(rows, self.pad_id)
        labels = [row["labels"] for row in rows]
        inputs["labels"] = (
            inference.pad(labels, -100) if isinstance(labels[0], list) else torch.tensor(labels)
        )
        return inputs


class Loss:
    """Cross-entropy over all labelled items of the effective batch, in float32."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """The sum over this forward pass, divided by the items of the whole batch."""
        logits = outputs.logits.float()
        total = functional.cross_entropy(
            logits.view(-1, logits.shape[-1]),
            labels.view(-1),
            ignore_index=-100,
            label_smoothing=self.smoothing,
            reduction="sum",
        )
        count = num_items_in_batch if num_items_in_batch is not None else labels.ne(-100).sum()
        return total / count


class SourceTrainer(Trainer):
    """transformers' Trainer with our order, our source-dev score and a rate of its own for the
    head; a checkpoint counts only once it is whole."""

    def __init__(
        self, *, score: Callable[[Any], float], head_rate: float, order: LengthGrouped, **known: Any
    ) -> None:
        super().__init__(**known)
        self._score = score
        self._head_rate = head_rate
        self._order = order
        self.add_callback(training_callbacks.EpochOrder(order))
        # it prints every logged row to standard output; the bar and the report show them
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        return self._order

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; the head, freshly initialised, gets its own rate (one rate for both collapsed
        on UNER at 5e-4 and hardly learnt at 2e-4)."""
        if self.optimizer is None:
            network, rate = model or self.model, self.args.learning_rate
            decayed = set(self.get_decay_parameter_names(network))
            groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
            for name, parameter in network.named_parameters():
                if parameter.requires_grad:
                    key = ("modules_to_save" in name, name in decayed)
                    groups.setdefault(key, []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": rate * (self._head_rate if head else 1.0),
                        "weight_decay": self.args.weight_decay if decay else 0.0,
                    }
                    for (head, decay), parameters in sorted(groups.items(), key=lambda g: g[0])
                ],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                fused=True,
            )
        return self.optimizer

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The score on source dev; Trainer's own loop neither pools windows nor sorts by length."""
        metrics = {"eval_score": self._score(self.model)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            (folder / training_callbacks.WHOLE).touch()
