"""Whether a run fits this machine: what is refused before it starts, and the micro-batch that
memory takes, by the figures of `plan.py` and what is free now."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from lowres import cards, lengths, memory, peaks, plan, remedies, shapes, training_callbacks
from lowres.errors import BaseModelError, DeviceError
from lowres.lengths import Lengths, Reader
from lowres.microbatches import MicroBatches, divisor
from lowres.peaks import Case
from lowres.training_arguments import split_batch

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.hardware import Hardware
    from lowres.job import Attempt, Job
    from lowres.progress import Progress
    from lowres.recipe import Recipe

SURE: Final = 1.5
"""By how much a plan must miss what is free before it is believed without a try."""


def check(
    recipe: Recipe,
    located: LocatedBase,
    machine: Hardware,
    progress: Progress,
    only: str | None = None,
) -> None:
    """Before a run: whether the weights go into the memory, and what others leave of it.

    On a card it is said when others use it. A processor's memory others give back, so that there
    a plan above what is free is said, and no reason to stop.

    Args:
        recipe: the study.
        located: its base.
        machine: where it is to run.
        progress: where to tell.
        only: the one stage that will run; None: all of the recipe's.

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
        plan.check_weights(case)
        return
    # other programs give memory back, and what is mapped from a file need not stay
    plan.check_weights(replace(case, place=replace(case.place, free_mb=case.place.memory_mb)))
    # read only where texts as long as may be do not fit: they mostly do
    if _over(case, only) is not None:
        folder = Path(located.path)
        reader = Reader(progress.say)
        measured = lengths.of_recipe(recipe, folder, reader)
        case = replace(case, lengths=measured, text=plan.of_text(recipe, folder, reader))
        over = _over(case, only)
        if over is not None:
            progress.say(over)


def _over(case: Case, only: str | None) -> str | None:
    """That a stage takes more than is free now, by plan; None where none does."""
    found = [stage for stage in peaks.stages(case) if only in (None, stage.name)]
    most = max(found, key=lambda stage: stage.total_mb)
    # the libraries are in memory already
    needed, place = most.total_mb - peaks.runtime(case), case.place
    if needed <= place.free_mb:
        return None
    return (
        f"{most.name}: takes {needed:,.0f} MB more by plan, and {place.free_mb:,.0f} of "
        f"{place.memory_mb:,.0f} MB of memory are free: it will be slow, or stopped by the system, "
        "unless other programs give some back (`lowres plan` says what takes less)"
    )


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
    size = peaks.automatic(case, share, free_mb)
    needed = peaks.beside(case, size)
    if size == 1 and needed > SURE * free_mb:
        # as before loading: what is loaded is a part of what a stage needs
        place = replace(case.place, free_mb=free_mb + peaks.held(case))
        raise DeviceError(remedies.too_large(replace(case, place=place)))
    job.progress.say(
        f"train.micro_batch: {size} of {share} windows at once; {needed:,.0f} of "
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


def _free_mb(machine: Hardware) -> float:
    """What this process can still take, with what torch holds without using it."""
    if machine.device == "cuda":
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return float(torch.cuda.mem_get_info()[0] + held) / 2**20
    return memory.here().free_mb
