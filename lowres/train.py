"""One seed of training on the source language: LoRA or what else the strategy trains, and the head,
chosen on source dev."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import set_seed

from lowres import (
    adapter_files,
    artifacts,
    averaging,
    fitting,
    lora,
    mixing,
    prefix,
    trained,
    training_callbacks,
    unfreezing,
)
from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.errors import Interrupted
from lowres.hardware import Hardware
from lowres.job import Attempt, Job, Outcome
from lowres.prefix import Prefix, States, Store
from lowres.progress import Progress
from lowres.recipe import Recipe
from lowres.sampling import LengthGrouped
from lowres.shared import Shared
from lowres.source_dev import SourceDev
from lowres.trainer import Collate, Loss, SourceTrainer
from lowres.training_arguments import (
    early_stopping,
    event_files,
    steps_an_epoch,
    training_arguments,
)
from lowres.training_callbacks import (
    CHECKPOINTS,
    Checkpoint,
    agreed,
    is_main,
    wait_for_all,
)

ATTEMPT = "attempt.json"


def train(
    recipe: Recipe,
    seed: int,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    folder: Path,
    progress: Progress,
    save_every_s: float = training_callbacks.SAVE_EVERY_S,
    shared: Shared | None = None,
    store: Store | None = None,
    start: Path | None = None,
) -> Outcome:
    """Train one seed into `folder/adapter`; goes on from the newest whole checkpoint there.

    With `start`, the folder of an adapter of this base, its weights are trained on.

    A run that ends in NaN or answers one class on source dev is tried once more at half the
    learning rates; the second outcome stands, whatever it is. In a distributed run every process
    calls this, and the first one alone writes. `shared` is what earlier trainings of this process
    have loaded, `store` where they keep the states of frozen layers.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint; the same call goes on.
        DeviceError: when processes do not divide the batch, or a logger is not installed.
        RunError: when `folder` cannot be written.
    """
    job = Job(
        recipe,
        seed,
        data,
        located,
        hardware,
        folder,
        progress,
        save_every_s,
        shared or Shared(),
        store,
        start,
    )
    attempt = _attempt(folder)
    outcome = _train_once(job, attempt)
    if outcome.status != "ok" and not attempt.retried:
        progress.say(f"seed {seed}: {outcome.status}; once more at half the learning rate")
        attempt = replace(_attempt(folder), rate_factor=0.5, retried=True)
        _alone(lambda: _start_over(folder, attempt))
        outcome = _train_once(job, attempt)
    _alone(lambda: _tidy(folder))
    return outcome


def _attempt(folder: Path) -> Attempt:
    file = folder / ATTEMPT
    return Attempt(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else Attempt()


def _start_over(folder: Path, attempt: Attempt) -> None:
    # in this order: a kill in between repeats the first attempt, and never continues it as the
    # second one
    training_callbacks.remove_checkpoints(folder / CHECKPOINTS)
    averaging.forget(folder / averaging.EPOCHS)
    _remember(folder, attempt)


def _remember(folder: Path, attempt: Attempt) -> None:
    if is_main():
        artifacts.write_text(folder / ATTEMPT, json.dumps(asdict(attempt)))


def _tidy(folder: Path) -> None:
    training_callbacks.remove_checkpoints(folder / CHECKPOINTS)
    (folder / CHECKPOINTS).rmdir()
    averaging.forget(folder / averaging.EPOCHS)
    (folder / ATTEMPT).unlink(missing_ok=True)


def _alone(act: Callable[[], None]) -> None:
    """Change files while no other process reads them."""
    wait_for_all()
    if is_main():
        act()
    wait_for_all()


@dataclass(frozen=True)
class Learner:
    """A base with LoRA (or what the strategy trains) and a head, the windows that it learns from,
    and what it is judged by."""

    network: Any
    windows: Dataset
    pad_id: int
    dev: SourceDev
    frozen: Prefix | None
    states: States | None


def _train_once(job: Job, attempt: Attempt) -> Outcome:
    set_seed(job.seed)
    learner = _learner(job)
    _alone(lambda: training_callbacks.remove_halves(job.folder / CHECKPOINTS))
    newest = training_callbacks.newest_whole_checkpoint(job.folder / CHECKPOINTS)
    trainer = _fit(job, learner, attempt, newest)
    state = trainer.state
    lost = training_callbacks.diverged(state.log_history)
    best_step: int | None = int(state.best_global_step or 0)
    dev = float(state.best_metric or 0.0)
    if job.averages and not lost:
        best_step, dev = None, _average(job, learner)
    elif job.recipe.train.checkpoint == "last" and not lost:
        best_step, dev = state.global_step, learner.dev.score(learner.network)
    flat = not lost and learner.dev.collapsed(learner.network, dev)
    status = "nan" if lost else "collapsed" if flat else "ok"
    if is_main():
        adapter_files.save_adapter(
            learner.network,
            job.folder / "adapter",
            job.located,
            job.recipe.task,
            job.data.labels,
            job.recipe.train.max_tokens,
            job.recipe.base.quantization,
        )
    total, trainable = adapter_files.count_parameters(learner.network)
    return Outcome(
        seed=job.seed,
        status=status,
        retried=attempt.retried,
        learning_rate=trainer.args.learning_rate,
        best_step=best_step,
        steps=state.global_step,
        dev=dev,
        parameters=total,
        trainable_parameters=trainable,
        curves=training_callbacks.curves(state.log_history, learner.dev.metric),
        micro_batch=trainer.micro.size,
    )


def _learner(job: Job) -> Learner:
    recipe, labels = job.recipe, job.data.labels
    tokenizer = job.shared.tokenizer(job.located)
    base = job.shared.base(job.located, recipe.base, recipe.task, labels, job.hardware)
    network = trained.attach(base, recipe, job.located.name)
    if job.start is not None:
        adapter_files.take_up(network, job.start, job.located)
    lora.halve_frozen(network, job.hardware)
    encode = job.shared.windows
    windows = encode(recipe.task, job.data.train, tokenizer, labels, recipe.train.max_tokens)
    pad_id = int(tokenizer.pad_token_id or 0)
    frozen = None
    if recipe.train.strategy.lowest_still:
        frozen = prefix.of(network, job.located, recipe.base.quantization, job.hardware, job.store)
    states = None
    if frozen is not None:
        states = frozen.states(windows.to_list(), pad_id, recipe.evaluate.batch_tokens)
        windows = windows.add_column("window", list(range(len(windows))))
    dev = SourceDev(recipe, job.data, tokenizer, job.hardware, job.shared, frozen)
    return Learner(network, windows, pad_id, dev, frozen, states)


def _fit(job: Job, learner: Learner, attempt: Attempt, newest: Checkpoint | None) -> SourceTrainer:
    """Train from the newest checkpoint on; the network then holds the best one's weights."""
    options, count = job.recipe.train, len(learner.windows)
    lengths = [len(ids) for ids in learner.windows["input_ids"]]
    arguments = training_arguments(
        job.recipe, job.seed, count, job.hardware, job.folder, attempt.rate_factor
    )
    remember = partial(_remember, job.folder)
    micro = fitting.micro_batches(job, attempt, lengths, remember)
    watch = training_callbacks.Watch(
        job.seed, arguments.max_steps, steps_an_epoch(options, count), job.save_every_s
    )
    with job.progress.bar(f"train, seed {job.seed}", arguments.max_steps) as advance:
        trainer = SourceTrainer(
            model=learner.network,
            args=arguments,
            train_dataset=learner.windows,
            eval_dataset=job.data.dev,
            data_collator=Collate(learner.pad_id, learner.states),
            compute_loss_func=Loss(options.label_smoothing),
            callbacks=[
                watch,
                training_callbacks.Bar(advance),
                training_callbacks.Scores(job.progress.tell, job.seed, learner.dev.metric),
                *early_stopping(options),
                *unfreezing.unfreezing(learner.network, options.strategy),
                *event_files(options, job.folder, newest),
            ],
            score=learner.dev.score,
            rates=trained.rates(learner.network, job.recipe),
            order=_order(job, learner, lengths),
            micro=micro,
            frozen=learner.frozen,
            epochs=job.folder / averaging.EPOCHS if job.averages else None,
        )
        with training_callbacks.interruptible(watch):
            try:
                if newest and (newest.ended or newest.step >= arguments.max_steps):
                    trainer.stand_at_end(newest.path)
                else:
                    trainer.train(resume_from_checkpoint=str(newest.path) if newest else None)
            except OSError as error:
                raise artifacts.disk_error(error, job.folder) from error
    # all processes or none: one that went on alone would wait for the others for ever
    (interrupted,) = agreed(watch.interrupted)
    if interrupted:
        raise Interrupted(f"interrupted after step {trainer.state.global_step}, the last one")
    return trainer


def _order(job: Job, learner: Learner, lengths: list[int]) -> LengthGrouped:
    """Every window once an epoch, or sources as often as the recipe's temperature says."""
    options, temperature = job.recipe.train, job.recipe.languages.source_temperature
    if temperature is None or job.start is not None:
        return LengthGrouped(lengths, options.batch, job.seed)
    codes = list(job.data.train["language"])
    languages = [codes[example] for example in learner.windows["example"]]
    return mixing.Mixed(lengths, options.batch, job.seed, languages, temperature)


def _average(job: Job, learner: Learner) -> float:
    """Give the network the mean of the kept weights; returns its score on source dev."""
    wait_for_all()
    adapter_files.set_adapter(learner.network, averaging.mean(job.folder / averaging.EPOCHS))
    return learner.dev.score(learner.network)
