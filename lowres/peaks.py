"""What each stage of a recipe holds at its peak, by an encoder's shape and the lengths of its text.

`footprint.py` has the formulas, this file the stages: which base is loaded how, what trains, how
long a batch is, and the micro-batch that `auto` means, for `lowres plan` and for a run alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lowres import cards, footprint, shapes
from lowres.cards import Place
from lowres.footprint import Quantization, Setting
from lowres.lengths import Lengths
from lowres.recipe import Recipe

LIBRARIES_MB: Final = 605.0
"""Resident on a processor once torch, transformers, peft, datasets and bitsandbytes are imported
and have trained once (torch 2.13 without CUDA)."""
SCORING_MB: Final = 200.0
"""What scikit-learn, its baselines and the predictions add on a processor."""
UNKNOWN_LABELS: Final = 10
UNKNOWN_PIECES: Final = 4_000
"""New pieces where the recipe leaves their number to the text."""
USED: Final = 0.8
"""Share of what is free beside the loaded model that an automatic micro-batch may take by plan,
which is off by a tenth or so, and by more over a long training (docs/performance.md)."""
READ_ADAPTING: Final = 4096
"""Tokens of a pass without gradients while adapting: the default of `objectives.Job`."""

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
class Case:
    """What is planned, so that one thing of it may be changed."""

    recipe: Recipe
    found: shapes.Found
    place: Place
    lengths: Lengths
    table_rows: int | None = None
    """Of the embeddings, where they are trimmed and it is known."""
    text: Lengths | None = None
    """Of the lines that are adapted to; None: every one of `adapt.max_tokens`."""

    @property
    def micro_batch(self) -> int:
        """The recipe's; for auto what a run would choose with what is free."""
        batch, asked = self.recipe.train.batch, self.recipe.train.micro_batch
        if asked != "auto":
            return min(asked or batch, batch)
        return automatic(self, batch, self.place.free_mb - held(self))

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
            new_rows(recipe),
            checkpointing=recipe.train.gradient_checkpointing,
            top=recipe.lora.top,
            # a table that trains is in memory whole
            pieces_seen=None if own and not freeze.embeddings else self.lengths.seen or None,
            own=own,
            table_rows=self.table_rows,
        )


def stages(case: Case) -> Iterator[StagePlan]:
    """The stages that take memory of the place, in order."""
    recipe = case.recipe
    # extending takes no memory of a card
    if new_rows(recipe) and case.place.device == "cpu":
        yield extend_stage(case)
    if recipe.adapt is not None and recipe.adapt.adapter is None:
        yield adapt_stage(case)
    yield train_stage(case, case.micro_batch)
    yield evaluate_stage(case)


def runtime(case: Case) -> float:
    """MB of libraries, or of CUDA's own context."""
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
            RUNTIME: runtime(case),
        },
    )


def train_stage(case: Case, micro_batch: int) -> StagePlan:
    """Training the task: a step of the longest windows, or the pass over source dev where that
    takes more."""
    setting, longest = case.setting(), case.lengths.longest
    kept = footprint.activations(setting, micro_batch, longest) + footprint.copies(setting)
    workspace = footprint.scratch(setting, micro_batch, longest)
    read = footprint.reading(setting, dev_at_once(case), longest)
    if case.recipe.train.strategy.trains == "nothing":
        # a base without gradients keeps nothing
        kept, workspace = 0.0, footprint.reading(setting, micro_batch * longest, longest)
    # what is held in half precision is there in a pass without gradients too
    stays = footprint.copies(setting) if footprint.halved(setting) else 0.0
    if stays + read > kept + workspace:
        kept, workspace = stays, read
    return _stage("train", case, setting, kept, workspace)


def beside(case: Case, micro_batch: int) -> float:
    """MB that a step takes beside the weights and what else is held once base, LoRA and head are
    loaded."""
    parts = train_stage(case, micro_batch).parts
    return parts[ACTIVATIONS] + parts[WORKSPACE] + 0.75 * parts[TRAINED]


def held(case: Case) -> float:
    """MB that are taken before the first step of training."""
    return train_stage(case, 1).total_mb - beside(case, 1)


def automatic(case: Case, share: int, room_mb: float) -> int:
    """The micro-batch that `train.micro_batch: auto` means: the largest divisor of `share` whose
    step takes no more than `USED` of `room_mb`, which is what is free beside the loaded model; 1
    where none does."""
    divisors = (n for n in range(share, 1, -1) if share % n == 0)
    return next((n for n in divisors if beside(case, n) <= USED * room_mb), 1)


def evaluate_stage(case: Case) -> StagePlan:
    """Answering the test sets, `evaluate.batch_tokens` at once."""
    setting = case.setting()
    if setting.pieces_seen is not None:
        # each language has pieces of its own
        languages = len(case.recipe.languages.source) + len(case.recipe.languages.targets)
        setting = replace(setting, pieces_seen=languages * setting.pieces_seen)
    read = footprint.reading(setting, read_at_once(case), case.lengths.longest)
    if case.place.device == "cpu":
        read += SCORING_MB
    found = _stage("evaluate", case, setting, 0.0, read)
    # nothing trains: the weights of LoRA and head alone, a quarter; a base that was trained once
    # more, while it takes the other's place
    return StagePlan("evaluate", {**found.parts, TRAINED: found.parts[TRAINED] / 4})


def read_at_once(case: Case) -> int:
    """Tokens of a pass of the task's without gradients: one window at least."""
    return max(case.recipe.evaluate.batch_tokens, case.lengths.longest)


def dev_at_once(case: Case) -> int:
    """Less than a whole batch where dev is small."""
    at_once = read_at_once(case)
    return min(at_once, case.lengths.dev * case.lengths.longest) if case.lengths.dev else at_once


def adapt_stage(case: Case) -> StagePlan:
    """Adapting to a language: a step of the longest lines, or a pass without gradients over what
    is held out (the teacher's too) where that takes more."""
    options = case.recipe.adapt
    assert options is not None, "only called where the recipe adapts"
    text, masked = case.text, options.objective in ("mlm", "both")
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
        own=0,
        # raw text, its translations and a masked-LM head look up most rows
        pieces_seen=None,
    )
    tokens = options.max_tokens if text is None else min(options.max_tokens, text.longest)
    kept = footprint.activations(setting, options.batch, tokens) + footprint.copies(setting)
    at_once = footprint.scratch(setting, options.batch, tokens)
    read = footprint.reading(setting, max(READ_ADAPTING, tokens), tokens)
    if masked:
        hidden = options.batch * math.ceil(options.mask_share * tokens)
        of_head = footprint.masked_lm(setting, hidden)
        kept, at_once = kept + of_head[0], max(at_once, of_head[1])
        read = max(
            read, footprint.masked_lm(setting, math.ceil(options.mask_share * READ_ADAPTING))[1]
        )
    if read > kept + at_once:
        kept, at_once = 0.0, read
    return _stage("adapt", case, setting, kept, at_once)


def extend_stage(case: Case) -> StagePlan:
    """Starting the rows of new pieces, in the memory of the process."""
    # the rows of new pieces start from the float32 table: the whole encoder is read for it
    setting = replace(case.setting("none"), pieces_seen=None)
    parts = {WEIGHTS: footprint.weights(setting), ROWS: footprint.rows(setting)}
    return StagePlan("extend", {**parts, TOKENIZER: _tokenizer(case), RUNTIME: LIBRARIES_MB})


def new_rows(recipe: Recipe) -> int:
    """Of the vocabulary's extension; a guess where the text decides."""
    extend = recipe.tokenizer.extend if recipe.tokenizer else None
    if extend is None:
        return 0
    return extend.pieces if isinstance(extend.pieces, int) else UNKNOWN_PIECES
