"""The adapt stage: one language adapter, LoRA on the frozen encoder and the new rows."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from lowres import (
    artifacts,
    extension,
    lora,
    material,
    model,
    registry,
    stacking,
    training_callbacks,
)
from lowres import rows as new_rows
from lowres.bases import LocatedBase
from lowres.errors import BaseModelError, DataError, Interrupted
from lowres.hardware import Hardware
from lowres.material import LanguageText
from lowres.objectives import Figure, Job, Objective, check_enough
from lowres.progress import Progress
from lowres.recipe import Base
from lowres.recipe_text import Adapt
from lowres.sampling import LengthGrouped

CHECKPOINT = "checkpoint.pt"
WORK = "work"
ADAPTER = "adapter"
DAMAGED = (
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError,
    pickle.UnpicklingError,
)  # fmt: skip
"""What torch and json raise for a checkpoint that is not whole."""
CLIP = 1.0
"""Largest norm of a step's gradient."""
LOOK_EVERY = 20
"""Steps between two looks at the loss: each waits until a GPU has done what it has to do."""


@dataclass(frozen=True)
class Adapted:
    """What adapting came to."""

    languages: tuple[str, ...]
    objective: str
    steps: int
    items: int
    cut: int
    """Items that fill `adapt.max_tokens`: of what was longer the end was left out."""
    seconds: float
    before: tuple[Figure, ...]
    after: tuple[Figure, ...]
    loss: tuple[tuple[int, float], ...]
    notes: tuple[str, ...]


@dataclass
class _Learner:
    """The network, what trains in it, and what it learns."""

    network: Any
    objective: Objective
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    order: LengthGrouped
    steps: int

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """All that trains."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


def adapt(
    options: Adapt,
    base: Base,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    hardware: Hardware,
    folder: Path,
    progress: Progress,
    seed: int = 1,
    save_every_s: float = training_callbacks.SAVE_EVERY_S,
) -> Adapted:
    """Train a language adapter into `folder/adapter`; goes on from a checkpoint there.

    Args:
        options: the recipe's `adapt`.
        base: the recipe's `base`.
        located: the base; with `extension` set, its new pieces and rows.
        texts: what to learn from; held-out lines are measured before and after.
        hardware: where to compute.
        folder: of the stage.
        progress: where to tell how it goes.
        seed: of LoRA's start and of the order.
        save_every_s: seconds between checkpoints.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint; the same call goes on.
        DataError: when a text cannot serve the objective.
        BaseModelError: when the base has no head for it.
    """
    start = monotonic()
    check_base(options.objective, located)

    def new() -> _Learner:
        torch.manual_seed(seed)
        return _learner(options, base, located, texts, hardware, folder, seed, progress)

    learner, state = _resumed(new, folder / CHECKPOINT, progress)
    material.say_notes(texts, progress)
    state = state or _State(0, tuple(learner.objective.figures()))
    _train(learner, options, state, folder, progress, seed, save_every_s)
    after = tuple(learner.objective.figures())
    _save(learner.network, folder / ADAPTER, located)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(folder / WORK)
    lengths = learner.objective.lengths
    return Adapted(
        languages=tuple(text.language for text in texts),
        objective=options.objective,
        steps=learner.steps,
        items=len(lengths),
        cut=sum(int(n) >= options.max_tokens for n in lengths),
        seconds=round(state.seconds + monotonic() - start, 1),
        before=state.before,
        after=after,
        loss=tuple(state.losses),
        notes=tuple(f"{text.language}: {note}" for text in texts for note in text.notes),
    )


def _learner(
    options: Adapt,
    base: Base,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    hardware: Hardware,
    folder: Path,
    seed: int,
    progress: Progress,
) -> _Learner:
    plugin = registry.module("objectives", options.objective)
    if plugin.Objective.parallel:
        bare = [text.language for text in texts if not text.learning_pairs]
        if bare:
            raise DataError(
                f"adapt.objective {options.objective}: {', '.join(bare)} has no parallel text; "
                "give text.translations, or set adapt.objective: mlm"
            )
        check_enough(sum(len(text.learning_pairs) for text in texts), options.batch)
    encoder, full = model.load_encoder(located, base, hardware, plugin.Objective.masked_lm)
    network = lora.attach_language(encoder, options.rank, options.alpha, located.name)
    lora.halve_frozen(network, hardware)
    rows = new_rows.find(network)
    groups = [
        {
            "params": [p for n, p in network.named_parameters() if "lora_" in n],
            "lr": options.learning_rate,
        }
    ]
    if rows is not None:
        rows.rows.requires_grad_(True)
        groups.append({"params": [rows.rows], "lr": options.rows_learning_rate})
    job = Job(
        options=options,
        texts=texts,
        network=network,
        full=full,
        tokenizer=model.load_tokenizer(located),
        base_tokenizer=model.load_tokenizer(located.plain()),
        hardware=hardware,
        folder=folder / WORK,
        seed=seed,
        say=progress.say,
    )
    objective: Objective = plugin.Objective(job)
    check_enough(len(objective.lengths), options.batch)
    an_epoch = -(-len(objective.lengths) // options.batch)
    return _Learner(
        network=network,
        objective=objective,
        optimizer=torch.optim.AdamW(groups, weight_decay=options.weight_decay, fused=True),
        scaler=torch.amp.GradScaler(hardware.device, enabled=hardware.precision == "fp16"),
        order=LengthGrouped([int(n) for n in objective.lengths], options.batch, seed),
        steps=options.steps or max(1, math.ceil(options.epochs * an_epoch)),
    )


@dataclass
class _State:
    """Where an adaptation stands."""

    step: int
    before: tuple[Figure, ...]
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    tensors: dict[str, Any] | None = None

    @staticmethod
    def read(file: Path) -> _State | None:
        if not file.is_file():
            return None
        kept = torch.load(file, weights_only=True)
        plain = json.loads(kept["state"])
        before = tuple(Figure(**row) for row in plain["before"])
        losses = [(int(step), float(loss)) for step, loss in plain["losses"]]
        return _State(plain["step"], before, plain["seconds"], losses, kept["tensors"])

    def write(self, file: Path, learner: _Learner, seconds: float) -> None:
        plain = {
            "step": self.step,
            "before": [asdict(figure) for figure in self.before],
            "seconds": self.seconds + seconds,
            "losses": self.losses,
        }
        tensors = {
            "weights": [p.detach() for p in learner.parameters],
            "optimizer": learner.optimizer.state_dict(),
            "scaler": learner.scaler.state_dict(),
        }
        temporary = file.with_suffix(".tmp")
        try:
            torch.save({"state": json.dumps(plain), "tensors": tensors}, temporary)
            temporary.replace(file)
        except OSError as error:
            raise artifacts.disk_error(error, file) from error


def _resumed(
    new: Callable[[], _Learner], file: Path, progress: Progress
) -> tuple[_Learner, _State | None]:
    """A learner, and where the checkpoint says it stands; new and None without one to be read."""
    learner = new()
    try:
        state = _State.read(file)
        if state is None:
            return learner, None
        assert state.tensors is not None, "a checkpoint holds tensors"
        _restore(learner, state.tensors)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        progress.say(f"adapt: {file.name} is damaged ({reason}), so this begins anew")
        file.unlink()
        # what was restored of it before that showed
        return new(), None
    state.tensors = None
    progress.say(f"adapt: goes on after step {state.step} of {learner.steps}")
    return learner, state


def _restore(learner: _Learner, tensors: dict[str, Any]) -> None:
    with torch.no_grad():
        for parameter, value in zip(learner.parameters, tensors["weights"], strict=True):
            parameter.copy_(value)
    learner.optimizer.load_state_dict(tensors["optimizer"])
    learner.scaler.load_state_dict(tensors["scaler"])


def _train(
    learner: _Learner,
    options: Adapt,
    state: _State,
    folder: Path,
    progress: Progress,
    seed: int,
    save_every_s: float,
) -> None:
    """The training loop, from the step that the state says."""
    start = saved = monotonic()
    watch = training_callbacks.Pressed()
    # a restored optimizer holds the rates of its last step
    rates = [options.learning_rate, options.rows_learning_rate]
    said = f"adapt, {options.objective}"
    recent: list[torch.Tensor] = []
    with progress.bar(said, learner.steps) as advance, training_callbacks.interruptible(watch):
        advance(state.step)
        for chosen in _batches(learner.order, state.step, learner.steps):
            # what is drawn at random depends on the step alone, so that resume is exact
            torch.manual_seed(seed * 1_000_003 + state.step)
            for group, rate in zip(learner.optimizer.param_groups, rates, strict=False):
                group["lr"] = rate * _share(state.step, learner.steps, options.warmup)
            learner.network.train()
            loss = learner.objective.loss(chosen, state.step)
            recent.append(loss.detach())
            learner.scaler.scale(loss).backward()
            learner.scaler.unscale_(learner.optimizer)
            torch.nn.utils.clip_grad_norm_(learner.parameters, CLIP)
            learner.scaler.step(learner.optimizer)
            learner.scaler.update()
            learner.optimizer.zero_grad()
            told = state.step % LOOK_EVERY == 0 or state.step + 1 == learner.steps
            state.step += 1
            advance(1)
            pressed = watch.interrupted
            late = pressed or monotonic() - saved > save_every_s
            if told or late:
                # before a checkpoint too, so that none holds a NaN
                newest = _finite(recent, state.step - 1)
            if told:
                state.losses.append((state.step - 1, round(newest, 4)))
            if late:
                state.write(folder / CHECKPOINT, learner, monotonic() - start)
                saved = monotonic()
            if pressed:
                raise Interrupted(f"interrupted after step {state.step} of {learner.steps}")


def _finite(recent: list[torch.Tensor], step: int) -> float:
    """The newest of the losses since the last look, of which `step` was the last one; forgets
    them. Raises `DataError` where one is no number."""
    losses = torch.stack(recent).tolist()
    recent.clear()
    for number, loss in enumerate(losses, start=step + 1 - len(losses)):
        if not math.isfinite(loss):
            raise DataError(
                f"adapt: the loss is {loss} at step {number}; set a lower adapt.learning_rate and "
                "adapt.rows_learning_rate, or train.precision: fp32"
            )
    return float(losses[-1])


def _batches(order: LengthGrouped, first: int, steps: int) -> Iterator[list[int]]:
    """The batches from step `first` on, epoch after epoch."""
    an_epoch = len(order) // order.batch
    for epoch in range(first // an_epoch, -(-steps // an_epoch)):
        order.set_epoch(epoch)
        indices = list(order)
        for number in range(an_epoch):
            if first <= epoch * an_epoch + number < steps:
                yield indices[number * order.batch : (number + 1) * order.batch]


def _share(step: int, steps: int, warmup: float) -> float:
    """Of the peak rate at a step: linear rise, then linear fall to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def _save(network: Any, folder: Path, located: LocatedBase) -> None:
    """peft's own format over the bare encoder, rows and tokenizer inside it."""
    if folder.exists():
        shutil.rmtree(folder)
    rows = new_rows.find(network)
    config = network.peft_config["default"]
    config.base_model_name_or_path = located.hub_id or located.path
    config.revision = located.revision
    config.inference_mode = True
    network.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    if rows is not None:
        brought = rows.rows.detach().cpu(), rows.first_id
        path = model.embedding_path(network.get_base_model())
        stacking.combine(folder, None, brought, "", path)
        model.load_tokenizer(located).save_pretrained(str(folder))
        if located.extension is not None:
            shutil.copyfile(Path(located.extension) / extension.META, folder / extension.META)


def check_base(objective: str, located: LocatedBase) -> None:
    """Raise `BaseModelError` when an objective needs a head that a base lacks."""
    if registry.module("objectives", objective).Objective.masked_lm:
        classes = model.checkpoint_classes(located)
        if not any(name.endswith("ForMaskedLM") for name in classes):
            raise BaseModelError(
                f"adapt.objective {objective}: {located.name} has no masked-LM head "
                f"({', '.join(classes) or 'an encoder alone'}); set adapt.objective: align and "
                "give text.translations, or take XLM-R, mBERT or mmBERT"
            )
