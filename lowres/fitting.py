"""Whether a run fits this machine: what is refused before it starts, and the micro-batch that
memory takes, by the figures of `plan.py` and what is free now."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from lowres import cards, lengths, plan, shapes, training_callbacks
from lowres.errors import BaseModelError, DeviceError
from lowres.lengths import Lengths
from lowres.microbatches import MicroBatches, divisor
from lowres.plan import ACTIVATIONS, TRAINED, WORKSPACE, Case
from lowres.training_arguments import split_batch

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.hardware import Hardware
    from lowres.job import Attempt, Job
    from lowres.progress import Progress
    from lowres.recipe import Recipe

USED: Final = 0.8
"""Share of the free memory that a chosen micro-batch may take by plan, which is off by a tenth or
so, and by more over a long training (docs/performance.md)."""
SURE: Final = 1.5
"""By how much a plan must miss what is free before it is believed without a try."""


def check(recipe: Recipe, located: LocatedBase, machine: Hardware, progress: Progress) -> None:
    """Before a run: whether the weights go into the memory, and who else is on the card.

    Raises `DeviceError` for a base that is larger than a card's free memory, or than all memory of
    a processor, and for a quantisation that the machine lacks; each says what to take instead.
    """
    case = _case(recipe, located, machine, lengths.assumed(recipe.train.max_tokens, ""))
    if case is None:
        return
    plan.check_quantization(recipe.base.quantization, case.place)
    if machine.device == "cuda":
        for line in case.place.warnings:
            progress.say(line)
    else:
        # other programs give memory back, and what is mapped from a file need not stay
        case = replace(case, place=replace(case.place, free_mb=case.place.memory_mb))
    plan.check_weights(case)


def micro_batches(
    job: Job, attempt: Attempt, windows: Sequence[int], remember: Callable[[Attempt], None]
) -> MicroBatches:
    """How a step of a job is cut into forward passes.

    Args:
        job: with base, LoRA and head in memory already.
        attempt: whose micro-batch is taken if it has one: an interrupted run goes on with it.
        windows: tokens of every training window.
        remember: called with the attempt where memory decides about its micro-batch.

    Raises `DeviceError` where a step will not fit even one window at a time.
    """
    options = job.recipe.train
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    asked = options.micro_batch
    size, passes = split_batch(options.batch, None if asked == "auto" else asked, processes)
    share = size * passes
    if attempt.micro_batch is not None:
        size = divisor(share, attempt.micro_batch)
    elif asked == "auto":
        size = training_callbacks.from_main(_chosen(job, share, windows))
        remember(replace(attempt, micro_batch=size))

    def halved(before: int, now: int) -> None:
        job.progress.say(
            f"out of memory at train.micro_batch={before}: the step begins again with {now} (the "
            f"effective batch stays {options.batch})"
        )
        remember(replace(attempt, micro_batch=now))

    return MicroBatches(size, share, halved)


def _chosen(job: Job, share: int, windows: Sequence[int]) -> int:
    """The largest divisor of `share` that fits by plan."""
    by_length = sorted(windows)
    found = Lengths(
        by_length[len(by_length) // 2],
        by_length[-1],
        len(by_length),
        len(job.data.labels),
        *(0, 0, len(job.data.dev), ""),
    )
    case = _case(job.recipe, job.located, job.hardware, found)
    if case is None:
        return share
    free_mb = _free_mb(job.hardware)
    fits = (n for n in range(share, 1, -1) if share % n == 0 and _beside(case, n) <= USED * free_mb)
    size = next(fits, 1)
    if size == 1 and _beside(case, 1) > SURE * free_mb:
        raise DeviceError(plan.too_large(replace(case, place=replace(case.place, free_mb=free_mb))))
    job.progress.say(
        f"train.micro_batch: {size} of {share} windows at once; {_beside(case, size):,.0f} of "
        f"{free_mb:,.0f} MB that are free, by plan"
    )
    return size


def _case(recipe: Recipe, located: LocatedBase, machine: Hardware, found: Lengths) -> Case | None:
    """None for a base whose config.json has sizes under names that are not known here."""
    try:
        shape = shapes.read(Path(located.path), recipe.base.name)
    except BaseModelError:
        return None
    found_on = cards.card_here if machine.device == "cuda" else cards.processor
    place = found_on(recipe.train)
    place = replace(place, device=machine.device, precision=machine.precision)
    return Case(recipe, shapes.Found(recipe.base.name, shape, Path(located.path), ""), place, found)


def _beside(case: Case, micro_batch: int) -> float:
    """MB that a step takes beside the weights: they are in memory already, those of LoRA too."""
    parts = plan.train_stage(case, micro_batch).parts
    return parts[ACTIVATIONS] + parts[WORKSPACE] + 0.75 * parts[TRAINED]


def _free_mb(machine: Hardware) -> float:
    """What this process can still take, with what torch holds without using it."""
    if machine.device == "cuda":
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return float(torch.cuda.mem_get_info()[0] + held) / 2**20
    import psutil

    return float(psutil.virtual_memory().available) / 2**20
