"""Every section of a recipe as a frozen type. This is the only place that holds a default (what
works on raw text is in `recipe_text.py`, where labelled data is in `recipe_data.py`).

An absent section is a skipped stage. Reading, overrides and the JSON schema are in
`recipe_loading.py`. Nothing here imports torch, transformers, peft or datasets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from lowres import registry
from lowres.recipe_data import Data
from lowres.recipe_publish import Publish
from lowres.recipe_shots import FewShot, shot_faults, shots_listed
from lowres.recipe_strategies import LORA, Freeze, Strategy, with_few_shot_rate, with_rates
from lowres.recipe_strategies import faults as strategy_faults
from lowres.recipe_text import Adapt, Text, Tokenizer, text_faults
from lowres.recipe_translated import Translated, translation_faults
from lowres.recipe_types import (
    LanguageList,
    Names,
    Number,
    Section,
    Whole,
    distinct,
    listed,
)


class Base(Section):
    """The pretrained encoder."""

    name: str
    """A name that `lowres ls bases` prints, a Hub id, or a folder."""
    revision: str | None = None
    """Hub revision (branch, tag or commit); resolved to a commit and recorded."""
    quantization: Literal["8bit", "4bit", "none"] = "8bit"
    """8bit: LLM.int8 by bitsandbytes; 4bit: NF4; none: float32 (bf16 autocast where it pays)."""
    allow_pickle: bool = False
    """Load `pytorch_model.bin` when no safetensors exist. Pickled files can run code."""

    @field_validator("name")
    @classmethod
    def _filled(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; give a name of `lowres ls bases`, a Hub id, or a folder")
        return value


class Languages(Section):
    """Where labels come from and where transfer is measured (FLORES codes such as `yor_Latn`)."""

    source: LanguageList
    """One or several languages with labelled training data."""
    targets: LanguageList
    """Languages that transfer is measured on; their labels are only ever used to score, unless
    `shots` says that some of the training set's are trained on."""
    shots: Annotated[tuple[Whole | Literal["all"], ...], BeforeValidator(shots_listed)] = ()
    """Also train with so many labelled examples of a target (0, 10, 50, all; 0 is zero-shot), and
    score it; `few_shot` says how."""
    draws: Whole = Field(1, ge=1, le=1000)
    """How often the examples of `shots` are drawn anew, each a training: bands of the curves, which
    five make; of fewer the lowest and the highest are shown."""

    source_temperature: Number | None = Field(None, gt=0, le=1000)
    """Several sources: each has a share of its size to the power of one over this in an epoch, so
    that higher ones make small sources more frequent; null: all examples once."""

    def _contradictions(self) -> Iterator[str]:
        if not self.source:
            yield "languages.source is empty: name at least one language with labels"
        if not self.targets:
            yield "languages.targets is empty: name at least one to measure transfer on"
        if self.source_temperature is not None and len(self.source) == 1:
            yield "languages.source_temperature mixes sources, and there is one"
        for role, codes in (("source", self.source), ("targets", self.targets)):
            repeated = sorted({code for code in codes if codes.count(code) > 1})
            if repeated:
                yield f"languages.{role} names {', '.join(repeated)} twice"
        both = sorted(set(self.source) & set(self.targets))
        if both:
            yield (
                f"languages.targets: {', '.join(both)} is both source and target: transfer from a "
                "language to itself is not zero-shot; remove it from languages.targets (the source "
                "is scored anyway)"
            )


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft."""

    rank: Whole = Field(16, ge=1, le=1024)
    alpha: Number = Field(32, gt=0, le=1e6)
    """Scale: updates are multiplied by alpha / rank (rsLoRA: alpha / sqrt(rank))."""
    dropout: Number = Field(0.05, ge=0, lt=1)
    targets: Names = "auto"
    """Linear modules to adapt, by suffix; auto: every linear layer of the encoder blocks."""
    layers: str = Field("all", pattern=r"^(all|top:[1-9][0-9]{0,3})$")
    """all, or top:N: only the N highest layers. What lies below is computed once, without dropout,
    and reused over epochs and seeds."""
    rslora: bool = False
    """Rank-stabilised scaling (Kalajdzievski 2023, arXiv:2312.03732)."""
    dora: bool = False
    """Weight-decomposed LoRA (Liu et al. 2024, arXiv:2402.09353)."""

    @property
    def top(self) -> int | None:
        """How many layers are adapted; None: all."""
        return None if self.layers == "all" else int(self.layers.removeprefix("top:"))

    @field_validator("targets")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not value:
            raise ValueError("is empty; name modules such as query, value, or write auto")
        return value


def _tagged(folder: str) -> Any:
    """The options of every plug-in of a folder, told apart by their name."""
    options = [registry.module(folder, name).Options for name in registry.names(folder)]
    return Annotated[reduce(or_, options), Field(discriminator="name")]


def _or_auto(schema: dict[str, Any]) -> None:
    """An editor takes `auto` for this number as well."""
    number = {key: schema.pop(key) for key in ("type", "minimum", "maximum")}
    schema["anyOf"] = [number, {"const": "auto", "type": "string"}]


class Train(Section):
    """Optimisation; AdamW with linear warm-up and decay."""

    strategy: Strategy = LORA
    """What trains beside the head: lora, full (all weights), gradual (LoRA, from the top down),
    head, probe (both nothing: the head alone, with and without dropout in the base)."""
    freeze: Freeze = Freeze()
    """Parts of the base that stay as they are: `embeddings: true` (with full), `layers: 4` (the
    lowest)."""
    epochs: Number = Field(10, gt=0, le=10_000)
    steps: Whole | None = Field(None, ge=1, le=10**9)
    """Optimiser steps; overrides epochs."""
    learning_rate: Number = Field(3e-4, gt=0)
    """Peak rate of the LoRA weights. With strategy full: of all weights, and 2e-5 by default."""
    head_learning_rate: Number = Field(3e-3, gt=0)
    """Peak rate of the task head: freshly initialised, it wants about ten times the rate. With
    strategy full 2e-4 by default, with head and probe 3e-2."""
    layer_decay: Number = Field(1.0, gt=0, le=1)
    """What the rate is multiplied by for each layer down from the last one (Howard and Ruder 2018,
    ULMFiT, took 1 / 2.6 = 0.38)."""
    batch: Whole = Field(16, ge=1, le=65_536, json_schema_extra=_or_auto)
    """Effective batch: sentences (windows) an optimiser step, over all processes. auto: 16, with
    micro_batch: auto."""
    micro_batch: Annotated[Whole, Field(ge=1)] | Literal["auto"] | None = None
    """Windows a forward pass; the rest is accumulated. Must divide batch. auto: as many as fit into
    memory; null: all of them. Halved where memory is full."""
    max_tokens: Whole = Field(128, ge=8)
    """Sub-word tokens a window; longer texts become several windows, nothing is cut."""
    warmup: Number = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the rate rises from 0."""
    weight_decay: Number = Field(0.01, ge=0, le=10)
    label_smoothing: Number = Field(0.0, ge=0, lt=1)
    checkpoint: Literal["best", "average", "last"] = "best"
    """What is kept: the weights after the epoch with the best source-dev score (the last of equal
    ones), the mean of the weights after every epoch but the first (Schmidt et al. 2023,
    arXiv:2305.16834), or those after the last step, which nothing has chosen."""
    augment: tuple[_tagged("augmentations"), ...] = ()  # type: ignore[valid-type]
    """Changed copies of the source's training examples, by every way that is listed."""
    patience: Whole | None = Field(None, ge=1)
    """Stop after this many epochs without a better source-dev score; null: never."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """auto: bf16 where the hardware has it (compute capability 8.0, AVX512-BF16), fp16 on older
    GPUs, else fp32."""
    gradient_checkpointing: bool = False
    report_to: Annotated[
        tuple[Literal["tensorboard", "wandb", "trackio"], ...],
        BeforeValidator(listed),
        AfterValidator(distinct),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _auto(cls, plain: Any) -> Any:
        if not isinstance(plain, dict) or plain.get("batch") != "auto":
            return plain
        micro = plain.get("micro_batch")
        batch = cls.model_fields["batch"].default
        return {**plain, "batch": batch, "micro_batch": "auto" if micro is None else micro}

    @model_validator(mode="before")
    @classmethod
    def _rates(cls, value: Any) -> Any:
        return with_rates(value)

    def _contradictions(self) -> Iterator[str]:
        if isinstance(self.micro_batch, int) and self.batch % self.micro_batch:
            yield f"train.micro_batch {self.micro_batch} does not divide train.batch {self.batch}"
        if self.patience is not None and self.checkpoint == "last":
            yield "train.patience looks at source dev, train.checkpoint: last never"


class Evaluate(Section):
    """What is measured beside the adapter."""

    baselines: Names = "auto"
    """auto: all that fit the task (majority, tfidf or lookup, probe, the yardstick)."""
    metrics: Names = "auto"
    """auto: the task's own; the first one is what checkpoints are chosen by."""
    bootstrap: Whole = Field(1000, ge=100, le=100_000)
    """Resamples of the test set for 95% intervals and paired tests."""
    batch_tokens: Whole = Field(4096, ge=64)
    """Tokens a forward pass, padding included; sentences are sorted by length first."""

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: Any) -> Any:
        if not value:
            raise ValueError("is empty; name at least one, or write auto")
        return _known("metric", value, registry.names("metrics"))

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, value: Any) -> Any:
        return _known("baseline", value, registry.names("baselines"))


def _known(what: str, value: Any, known: tuple[str, ...]) -> Any:
    from lowres.errors import nearest

    for name in () if value == "auto" else value:
        if name not in known:
            raise ValueError(
                f"unknown {what} {name!r}{nearest(name, known)} (known: {', '.join(known)})"
            )
    return value


class Recipe(Section):
    """One study: what is asked, of which base, languages and data."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the run folder."""
    question: str = ""
    """What the study asks, in one sentence; stands at the top of the report."""
    base: Base
    languages: Languages
    data: Data
    task: _tagged("tasks")  # type: ignore[valid-type]
    text: Text | None = None
    tokenizer: Tokenizer | None = None
    adapt: Adapt | None = None
    lora: Lora = Lora()
    train: Train = Train()
    few_shot: FewShot | None = None
    translated: Translated | None = None
    evaluate: Evaluate = Evaluate()
    seeds: tuple[Whole, ...] = (1,)
    publish: Publish | None = None

    @model_validator(mode="before")
    @classmethod
    def _few_shot_rate(cls, value: Any) -> Any:
        return with_few_shot_rate(value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seed_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value) or min(value) < 0 or max(value) >= 2**32:
            raise ValueError(
                "seeds must be one or more different whole numbers from 0 to 2^32 - 1, "
                f"not {list(value)}"
            )
        return value

    @model_validator(mode="after")
    def _together(self) -> Recipe:
        found = list(self.every_contradiction())
        if found:
            # a line a fault: `recipe_faults` takes them apart, so that all are told at once
            raise ValueError("\n".join(found))
        return self

    def _contradictions(self) -> Iterator[str]:
        yield from self._unfit_for_the_task()
        # extension and adaptation read the text section; what they cannot do without is there
        yield from text_faults(self.text, self.tokenizer, self.adapt, self.languages.targets)
        yield from self._words_and_adapters()
        yield from strategy_faults(self)

    def _unfit_for_the_task(self) -> Iterator[str]:
        """A plug-in that only other tasks name is theirs; one that no task names fits all."""
        every = [registry.module("tasks", name).Options for name in registry.names("tasks")]
        for key, what, asked in (
            ("baselines", "lexical_baselines", self.evaluate.baselines),
            ("metrics", "possible_metrics", self.evaluate.metrics),
        ):
            own = getattr(self.task, what)
            others = {name for options in every for name in getattr(options, what)} - set(own)
            for name in () if asked == "auto" else asked:
                if name.removesuffix("_target") in others:
                    yield (
                        f"evaluate.{key}: {name} does not fit task {self.task.name} "
                        f"({', '.join(own)} do)"
                    )

    def _wordless(self) -> list[str]:
        """Languages whose words nothing in `text` tells."""
        text = self.text
        if text is None:
            return list(self.languages.targets)
        codes = self.languages.targets if text.languages == "targets" else text.languages
        return [
            code
            for code in codes
            if not (text.path("translations", code) or text.path("lexicon", code))
        ]

    def _words_and_adapters(self) -> Iterator[str]:
        if any(way.bilingual and way.word_lists() is None for way in self.train.augment):
            wordless = self._wordless()
            if wordless:
                yield (
                    f"train.augment: code_switch needs words of {', '.join(wordless)}: give it a "
                    "lexicon, or text.files with text.translations (text.languages leaves others "
                    "out)"
                )
        for number, way in enumerate(self.train.augment):
            if way.spans and "tags" not in self.task.fields:
                yield (
                    f"train.augment[{number}]: {way.name} changes entities, and task "
                    f"{self.task.name} has none; it is for task tagging: leave it out"
                )
        alone = self.adapt is not None and self.adapt.per_language
        yield from shot_faults(self.languages.shots, self.languages.draws, self.few_shot, alone)
        yield from translation_faults(self.translated, self.languages.targets, alone)
        if self.adapt is not None and self.lora.dora:
            yield (
                "lora.dora: a language adapter and a DoRA cannot become one adapter; set "
                "lora.dora: false, or leave adapt out"
            )
