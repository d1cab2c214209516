"""Whether a recipe fits a place, and what each of its stages will take: from config.json alone.

`footprint.py` has the formulas, `peaks.py` the stages, `remedies.py` what to change. Nothing here
imports torch; `cards.py` does where torch alone knows what of this machine's card is free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lowres import cards, lengths, remedies, shapes
from lowres.cards import Place
from lowres.errors import BaseModelError, DeviceError
from lowres.hardware import Hardware
from lowres.lengths import Lengths, Reader
from lowres.peaks import (
    UNKNOWN_PIECES,
    USED,
    Case,
    StagePlan,
    new_rows,
    runtime,
    stages,
    train_stage,
)
from lowres.recipe import Recipe
from lowres.recipe_strategies import check_layers

LITTLE: Final = 0.1
"""8 bits that save less than this share of the peak gain nothing worth their time."""
LARGEST_BATCH: Final = 65_536


@dataclass(frozen=True)
class Plan:
    """A recipe on a place."""

    recipe: str
    base: str
    quantization: str
    parameters: int
    shape_from: str
    place: Place
    lengths: Lengths
    text: Lengths | None
    """Of the raw lines that are adapted to, where the recipe adapts."""
    batch: int
    micro_batch: int
    largest_micro_batch: int
    """The largest that fits, whatever `train.batch` is; 0 where none does."""
    stages: tuple[StagePlan, ...]
    faults: tuple[str, ...]
    """What does not fit, each with what to set; empty where all does."""
    advice: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def peak_mb(self) -> float:
        """Of the stage that takes most."""
        return max(stage.total_mb for stage in self.stages)

    @property
    def fits(self) -> bool:
        """Whether every stage does, with the recipe's own micro-batch."""
        return self.peak_mb <= self.place.free_mb


def make(recipe: Recipe, gpu: str | None = None) -> Plan:
    """Plan a recipe for `--gpu` (a card, or a size), or for this machine.

    What does not fit is in the plan's `faults`.

    Raises:
        DeviceError: an unknown card; a quantisation that it has not.
        BaseModelError: a base whose shape is unknown here, or none of whose layers would train.
    """
    mended: list[str] = []
    case = case_of(recipe, gpu, mended.append)
    place = case.place
    # what fits is below what does not
    sizes = range(1, LARGEST_BATCH + 1)
    largest = bisect_right(sizes, place.free_mb, key=lambda n: train_stage(case, n).total_mb)
    planned = tuple(stages(case))
    return Plan(
        recipe.name,
        recipe.base.name,
        recipe.base.quantization,
        case.found.shape.parameters,
        case.found.source,
        place,
        case.lengths,
        case.text,
        recipe.train.batch,
        case.micro_batch,
        largest,
        planned,
        tuple(remedies.faults(case, planned, largest)),
        tuple(_advice(case, planned)),
        (*place.warnings, *mended),
    )


def case_of(recipe: Recipe, gpu: str | None = None, say: lengths.Say = lengths.unsaid) -> Case:
    """What is planned of a recipe, for `--gpu` or for this machine; `say` is told of damage that
    was mended. Raises as `make` does."""
    found = shapes.find(recipe.base.name, recipe.base.revision)
    check_layers(recipe, found.shape.layers, found.shape.shares_layers)
    place = cards.place(gpu, recipe.train)
    check_quantization(recipe.base.quantization, place)
    reader = Reader(say)
    measured = lengths.of_recipe(recipe, found.folder, reader)
    return Case(recipe, found, place, measured, text=of_text(recipe, found.folder, reader))


def of_text(recipe: Recipe, folder: Path | None, reader: Reader) -> Lengths | None:
    """Lengths of what is adapted to; None where nothing is."""
    if recipe.adapt is None or recipe.adapt.adapter is not None:
        return None
    return lengths.of_text(recipe, folder, reader)


def stages_of_run(
    recipe: Recipe,
    folder: Path,
    machine: Hardware,
    columns: Any,
    dev: int,
    micro_batch: int | None = None,
    table_rows: int | None = None,
    say: lengths.Say = lengths.unsaid,
) -> dict[str, float]:
    """The planned peak in MB of every kind of stage, for the base in a folder; empty where nothing
    can be planned. On a GPU without CUDA's own context, which torch does not measure.

    Args:
        recipe: the study.
        folder: of the base.
        machine: where it ran.
        columns: the source's training examples, as `lengths.of_columns` takes them.
        dev: examples of source dev.
        micro_batch: that it trained with, where memory decided about it.
        table_rows: of the embeddings, where they were trimmed.
        say: is told of damage that was mended.
    """
    if micro_batch is not None:
        train = recipe.train.model_copy(update={"micro_batch": micro_batch})
        recipe = recipe.model_copy(update={"train": train})
    if not (folder / "tokenizer.json").is_file():
        return {}
    try:
        shape = shapes.read(folder, recipe.base.name)
    except BaseModelError:  # sizes under names that are not known here: it ran all the same
        return {}
    found = shapes.Found(recipe.base.name, shape, folder, "")
    reader = Reader(say)
    measured = lengths.of_columns(recipe, columns, folder, dev, reader)
    text = of_text(recipe, folder, reader)
    case = Case(recipe, found, cards.where_it_ran(machine), measured, table_rows, text)
    unseen = runtime(case) if machine.device == "cuda" else 0.0
    return {stage.name: round(stage.total_mb - unseen, 1) for stage in stages(case)}


def check_quantization(quantization: str, place: Place) -> None:
    """Raise `DeviceError`, with the alternative, for what a place cannot compute."""
    ability = {"8bit": place.int8, "4bit": place.nf4}.get(quantization)
    if ability is not None and not ability.supported:
        raise DeviceError(f"base.quantization: {quantization} on {place.name}: {ability.reason}")


def check_weights(case: Case) -> None:
    """Raise `DeviceError` for a base whose weights alone are larger than the memory."""
    fault = remedies.too_heavy(case)
    if fault is not None:
        raise DeviceError(fault)


def _advice(case: Case, planned: tuple[StagePlan, ...]) -> Iterator[str]:
    recipe, free_mb = case.recipe, case.place.free_mb
    peak = max(stage.total_mb for stage in planned)
    if USED * free_mb < peak <= free_mb:
        yield (
            f"less than a fifth of what is free is left ({free_mb - peak:,.0f} MB): a plan may be "
            "off by as much, so that training may have to go on in smaller micro-batches"
        )
    if recipe.base.quantization == "8bit":
        yield from _gain_of_8_bits(case)
    if recipe.tokenizer is not None and recipe.tokenizer.trim is not None:
        yield "tokenizer.trim: planned with the whole table, as trimming is not known before"
    if new_rows(recipe) == UNKNOWN_PIECES:
        yield f"new pieces: {UNKNOWN_PIECES:,} assumed, the text decides"


def _gain_of_8_bits(case: Case) -> Iterator[str]:
    floating = replace(
        case,
        recipe=case.recipe.model_copy(
            update={"base": case.recipe.base.model_copy(update={"quantization": "none"})}
        ),
    )
    now = train_stage(case, case.micro_batch).total_mb
    then = train_stage(floating, case.micro_batch).total_mb
    if then - now < LITTLE * then and then <= case.place.free_mb:
        yield (
            f"8bit gains nothing here: training takes {then:,.0f} MB with base.quantization=none, "
            f"{now:,.0f} MB in 8 bits; the base is not what takes most"
        )
