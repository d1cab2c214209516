"""What each stage of a recipe will take at its peak, and whether that fits: from config.json alone.

`footprint.py` has the formulas, this file the stages: which base is loaded how, what trains, how
long a batch is. Nothing here imports torch; `cards.py` does where torch alone knows what
of this machine's card is free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lowres import cards, footprint, lengths, shapes
from lowres.cards import Place
from lowres.errors import BaseModelError, DeviceError
from lowres.footprint import Quantization, Setting
from lowres.hardware import Hardware
from lowres.lengths import Lengths
from lowres.recipe import Recipe
from lowres.recipe_strategies import check_layers

LIBRARIES_MB: Final = 605.0
"""Resident on a processor once torch, transformers, peft, datasets and bitsandbytes are imported
and have trained once (torch 2.13 without CUDA)."""
SCORING_MB: Final = 200.0
"""What scikit-learn, its baselines and the predictions add on a processor."""
UNKNOWN_LABELS: Final = 10
UNKNOWN_PIECES: Final = 4_000
"""New pieces where the recipe leaves their number to the text."""
LITTLE: Final = 0.1
"""8 bits that save less than this share of the peak gain nothing worth their time."""
LARGEST_BATCH: Final = 65_536
SAID: Final = {"8bit": "8 bits", "4bit": "4 bits", "none": "float32"}

Parts = dict[str, float]
WEIGHTS, TRAINED, ROWS = "weights", "LoRA, head, optimizer", "new rows"
ACTIVATIONS, WORKSPACE, TOKENIZER = "activations", "workspace", "tokenizer"
RUNTIME = "libraries"


@dataclass(frozen=True)
class StagePlan:
    """One stage at its peak, MB by what takes them."""

    name: str
    parts: Parts

    @property
    def total_mb(self) -> float:
        """All of it."""
        return sum(self.parts.values())


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
    batch: int
    micro_batch: int
    largest_micro_batch: int
    """The largest that fits, whatever `train.batch` is; 0 where none does."""
    stages: tuple[StagePlan, ...]
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


@dataclass(frozen=True)
class Case:
    """What is planned, so that one thing of it may be changed."""

    recipe: Recipe
    found: shapes.Found
    place: Place
    lengths: Lengths
    table_rows: int | None = None
    """Of the embeddings, where they are trimmed and it is known."""

    @property
    def micro_batch(self) -> int:
        """The recipe's; for auto what fits into what is free."""
        batch, asked = self.recipe.train.batch, self.recipe.train.micro_batch
        if asked != "auto":
            return min(asked or batch, batch)
        divisors = (n for n in range(batch, 1, -1) if batch % n == 0)
        free_mb = self.place.free_mb
        return next((n for n in divisors if train_stage(self, n).total_mb <= free_mb), 1)

    def setting(self, quantization: Quantization | None = None) -> Setting:
        """The base as the recipe has it, or in another quantisation."""
        recipe = self.recipe
        sequence = recipe.task.model_class == "SequenceClassification"
        labels = self.lengths.labels or UNKNOWN_LABELS
        targets = recipe.lora.targets
        trains, freeze = recipe.train.strategy.trains, recipe.train.freeze
        own = 0
        if trains == "weights":
            own = footprint.own_weights(self.found.shape, freeze.layers, not freeze.embeddings)
        return Setting(
            self.found.shape,
            quantization or recipe.base.quantization,
            self.place.device,
            self.place.precision,
            recipe.lora.rank,
            recipe.lora.dropout > 0 and trains == "lora",
            recipe.lora.dora,
            () if trains != "lora" else None if targets == "auto" else tuple(targets),
            footprint.head_parameters(self.found.shape, sequence, labels),
            _new_rows(recipe),
            checkpointing=recipe.train.gradient_checkpointing,
            top=recipe.lora.top,
            # a table that trains is in memory whole
            pieces_seen=None if own and not freeze.embeddings else self.lengths.seen or None,
            own=own,
            table_rows=self.table_rows,
        )


def make(recipe: Recipe, gpu: str | None = None) -> Plan:
    """Plan a recipe for `--gpu` (a card, or a size), or for this machine.

    Raises:
        DeviceError: an unknown card; a quantisation it has not; a base or a batch too large for it.
        BaseModelError: a base whose shape is unknown here, or none of whose layers would train.
    """
    found = shapes.find(recipe.base.name, recipe.base.revision)
    check_layers(recipe, found.shape.layers, found.shape.shares_layers)
    place = cards.place(gpu, recipe.train)
    check_quantization(recipe.base.quantization, place)
    case = Case(recipe, found, place, lengths.of_recipe(recipe, found.folder))
    check_weights(case)
    # what fits is below what does not
    sizes = range(1, LARGEST_BATCH + 1)
    largest = bisect_right(sizes, place.free_mb, key=lambda n: train_stage(case, n).total_mb)
    if largest == 0:
        raise DeviceError(too_large(case))
    stages = tuple(_stages(case))
    return Plan(
        recipe.name,
        recipe.base.name,
        recipe.base.quantization,
        found.shape.parameters,
        found.source,
        place,
        case.lengths,
        recipe.train.batch,
        case.micro_batch,
        largest,
        stages,
        tuple(_advice(case, stages, largest)),
        place.warnings,
    )


def stages_of_run(
    recipe: Recipe,
    folder: Path,
    machine: Hardware,
    columns: Any,
    dev: int,
    micro_batch: int | None = None,
    table_rows: int | None = None,
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
    measured = lengths.of_columns(recipe, columns, folder, dev)
    case = Case(recipe, found, cards.where_it_ran(machine), measured, table_rows)
    unseen = _runtime(case) if machine.device == "cuda" else 0.0
    return {stage.name: round(stage.total_mb - unseen, 1) for stage in _stages(case)}


def _stages(case: Case) -> Iterator[StagePlan]:
    recipe = case.recipe
    # extending takes no memory of a card
    if _new_rows(recipe) and case.place.device == "cpu":
        yield _extend_stage(case)
    if recipe.adapt is not None and recipe.adapt.adapter is None:
        yield _adapt_stage(case)
    yield train_stage(case, case.micro_batch)
    yield _evaluate_stage(case)


def _runtime(case: Case) -> float:
    return cards.CONTEXT_MB if case.place.device == "cuda" else LIBRARIES_MB


def _tokenizer(case: Case) -> float:
    """It is in the memory of the process, not on the card."""
    if case.place.device == "cuda":
        return 0.0
    return footprint.tokenizer(case.lengths.pieces or case.found.shape.vocabulary)


def _stage(name: str, case: Case, setting: Setting, active: float, workspace: float) -> StagePlan:
    return StagePlan(
        name,
        {
            WEIGHTS: footprint.weights(setting),
            TRAINED: footprint.trained(setting),
            ROWS: footprint.rows(setting),
            ACTIVATIONS: active,
            WORKSPACE: workspace,
            TOKENIZER: _tokenizer(case),
            RUNTIME: _runtime(case),
        },
    )


def train_stage(case: Case, micro_batch: int) -> StagePlan:
    """Training the task: a step of the longest windows, or the pass over source dev where that
    takes more."""
    setting, longest = case.setting(), case.lengths.longest
    kept = footprint.activations(setting, micro_batch, longest) + footprint.copies(setting)
    workspace = footprint.scratch(setting, micro_batch, longest)
    read = footprint.reading(setting, _dev_at_once(case), longest)
    if case.recipe.train.strategy.trains == "nothing":
        # a base without gradients keeps nothing
        kept, workspace = 0.0, footprint.reading(setting, micro_batch * longest, longest)
    if read > kept + workspace:
        kept, workspace = 0.0, read
    return _stage("train", case, setting, kept, workspace)


def _evaluate_stage(case: Case) -> StagePlan:
    setting = case.setting()
    if setting.pieces_seen is not None:
        # each language has pieces of its own
        languages = len(case.recipe.languages.source) + len(case.recipe.languages.targets)
        setting = replace(setting, pieces_seen=languages * setting.pieces_seen)
    read = footprint.reading(setting, _read_at_once(case), case.lengths.longest)
    if case.place.device == "cpu":
        read += SCORING_MB
    found = _stage("evaluate", case, setting, 0.0, read)
    # nothing trains: the weights of LoRA and head alone, a quarter; a base that was trained once
    # more, while it takes the other's place
    return StagePlan("evaluate", {**found.parts, TRAINED: found.parts[TRAINED] / 4})


def _read_at_once(case: Case) -> int:
    return max(case.recipe.evaluate.batch_tokens, case.lengths.longest)


def _dev_at_once(case: Case) -> int:
    """Less than a whole batch where dev is small."""
    at_once = _read_at_once(case)
    return min(at_once, case.lengths.dev * case.lengths.longest) if case.lengths.dev else at_once


def _adapt_stage(case: Case) -> StagePlan:
    options = case.recipe.adapt
    assert options is not None, "only called where the recipe adapts"
    setting = replace(
        case.setting(),
        rank=options.rank,
        dropout=False,
        dora=False,
        lora=None,
        head=0,
        rows_train=True,
        checkpointing=False,
        top=None,
    )
    tokens = min(options.max_tokens, case.lengths.longest)
    kept = footprint.activations(setting, options.batch, tokens) + footprint.copies(setting)
    return _stage("adapt", case, setting, kept, footprint.scratch(setting, options.batch, tokens))


def _extend_stage(case: Case) -> StagePlan:
    # the rows of new pieces start from the float32 table: the whole encoder is read for it
    setting = replace(case.setting("none"), pieces_seen=None)
    parts = {WEIGHTS: footprint.weights(setting), ROWS: footprint.rows(setting)}
    return StagePlan("extend", {**parts, TOKENIZER: _tokenizer(case), RUNTIME: LIBRARIES_MB})


def _new_rows(recipe: Recipe) -> int:
    extend = recipe.tokenizer.extend if recipe.tokenizer else None
    if extend is None:
        return 0
    return extend.pieces if isinstance(extend.pieces, int) else UNKNOWN_PIECES


def check_quantization(quantization: str, place: Place) -> None:
    """Raise `DeviceError`, with the alternative, for what a place cannot compute."""
    ability = {"8bit": place.int8, "4bit": place.nf4}.get(quantization)
    if ability is not None and not ability.supported:
        raise DeviceError(f"base.quantization: {quantization} on {place.name}: {ability.reason}")


def check_weights(case: Case) -> None:
    """Raise `DeviceError` for a base whose weights alone are larger than the memory."""
    free_mb = case.place.free_mb - _runtime(case)
    needed = footprint.weights(case.setting())
    if needed <= free_mb:
        return
    of_known = {
        name: footprint.weights(replace(case.setting(), shape=shape))
        for name, shape in shapes.KNOWN.items()
    }
    fitting = {name: size for name, size in of_known.items() if size <= free_mb / 2}
    instead = (
        f"the largest known base that fits is {max(fitting, key=lambda name: fitting[name])}"
        if fitting
        else "no known base fits"
    )
    raise DeviceError(
        f"base.name {case.recipe.base.name}: its weights take {needed:,.0f} MB in "
        f"{SAID[case.recipe.base.quantization]}, {case.place.name} has {max(0, free_mb):,.0f} MB "
        f"for them; {instead}"
    )


def too_large(case: Case) -> str:
    """That a case does not fit one window at a time, and what would help."""
    smallest = train_stage(case, 1).total_mb
    train = case.recipe.train
    changes = []
    if not train.gradient_checkpointing:
        changes.append("train.gradient_checkpointing=true")
    if case.lengths.longest > 32:
        changes.append(f"train.max_tokens={max(32, case.lengths.longest // 2)}")
    return (
        f"train: needs {smallest:,.0f} MB at train.micro_batch=1 (windows of "
        f"{case.lengths.longest} tokens), {case.place.name} has {case.place.free_mb:,.0f} MB free; "
        f"set {', or '.join([*changes, 'base.name to a smaller base (`lowres ls bases`)'])}"
    )


def _advice(case: Case, stages: tuple[StagePlan, ...], largest: int) -> Iterator[str]:
    recipe = case.recipe
    if case.micro_batch > largest:
        batch = recipe.train.batch
        micro = max(n for n in range(1, largest + 1) if batch % n == 0)
        yield f"set train.micro_batch={micro}: the effective batch stays {batch}"
    for stage in stages:
        if stage.name == "adapt" and stage.total_mb > case.place.free_mb:
            yield f"adapt does not fit: set adapt.batch below {recipe.adapt and recipe.adapt.batch}"
        if stage.name == "evaluate" and stage.total_mb > case.place.free_mb:
            yield f"evaluate does not fit: set evaluate.batch_tokens below {_read_at_once(case)}"
    if recipe.base.quantization == "8bit":
        yield from _gain_of_8_bits(case)
    if recipe.tokenizer is not None and recipe.tokenizer.trim is not None:
        yield "tokenizer.trim: planned with the whole table, as trimming is not known before"
    if _new_rows(recipe) == UNKNOWN_PIECES:
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
