"""The keys of `train` that say what of the base trains and how fast, and which of them exclude one
another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

from lowres import registry
from lowres.errors import BaseModelError
from lowres.recipe_types import Section, Whole

if TYPE_CHECKING:
    from lowres.recipe import Recipe

FOLDER = "strategies"
HEAD: Final = "head_learning_rate"


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_every = [registry.module(FOLDER, name).Options for name in registry.names(FOLDER)]
_options: Any = Annotated[reduce(or_, _every), Field(discriminator="name")]
Strategy: Any = Annotated[_options, BeforeValidator(_named, json_schema_input_type=str | _options)]
"""A strategy's name, or its name and options."""
LORA: Final = registry.module(FOLDER, "lora").Options()


class Freeze(Section):
    """Parts of the base that stay as they are, whatever the strategy trains."""

    embeddings: bool = False
    """The table of embeddings, and what is added to them; only `full` would train it."""
    layers: Whole = Field(0, ge=0)
    """So many of the lowest layers; the embeddings below them stay too."""


def with_rates(section: Any) -> Any:
    """A `train` section as written, with the strategy's own learning rates where it names none."""
    return {**_rates(section), **section} if isinstance(section, Mapping) else section


def _rates(train: Any) -> Mapping[str, float]:
    """Of the strategy that a `train` section as written names; empty where it has none of its own,
    or is none that is known."""
    strategy = train.get("strategy") if isinstance(train, Mapping) else None
    name = strategy.get("name") if isinstance(strategy, Mapping) else strategy
    if not isinstance(name, str) or name not in registry.names(FOLDER):
        return {}
    rates: Mapping[str, float] = registry.module(FOLDER, name).Options.rates
    return rates


def few_shot_rate(rates: Mapping[str, float]) -> dict[str, float]:
    """The head's rate in `few_shot` for a strategy with these rates, a tenth as it is no longer
    fresh; empty where the section's own default is for it."""
    return {HEAD: rates[HEAD] / 10} if HEAD in rates else {}


def with_few_shot_rate(recipe: Any) -> Any:
    """A recipe as written, with the strategy's own head rate in `few_shot` where it names none."""
    few = recipe.get("few_shot") if isinstance(recipe, Mapping) else None
    # mixed trains as `train` says, and has no use for the key
    if not isinstance(few, Mapping) or few.get("way") == "mixed":
        return recipe
    return {**recipe, "few_shot": {**few_shot_rate(_rates(recipe.get("train"))), **few}}


def check_layers(recipe: Recipe, layers: int, shared: bool = False) -> None:
    """That `train.freeze.layers` leaves a layer of a base to train, and freezes one that would.

    Args:
        recipe: the study.
        layers: of the base.
        shared: whether they have the same weights, and so are one.

    Raises:
        BaseModelError: none is left, or `lora.layers` leaves out as many already.
    """
    frozen, strategy = recipe.train.freeze.layers, recipe.train.strategy
    if strategy.trains == "nothing":
        return
    if frozen < (1 if shared else layers):
        _check_top(recipe, layers)
        return
    has = f"one layer (its {layers} share their weights)" if shared else f"{layers} layers"
    raise BaseModelError(
        f"train.freeze.layers {frozen}: {recipe.base.name} has {has}, so nothing is left for "
        f"strategy {strategy.name}; freeze fewer, or set train.strategy: head"
    )


def _check_top(recipe: Recipe, layers: int) -> None:
    frozen, top = recipe.train.freeze.layers, recipe.lora.top
    if frozen and top is not None and recipe.train.strategy.trains == "lora":
        below = layers - top
        if frozen <= below:
            raise BaseModelError(
                f"train.freeze.layers {frozen}: lora.layers: top:{top} trains none of the lowest "
                f"{below} of {layers} layers of {recipe.base.name}, so it freezes nothing; leave "
                "one of the two out"
            )


def faults(recipe: Recipe) -> Iterator[str]:
    """What contradicts the strategy, a line each."""
    train = recipe.train
    name, trains = train.strategy.name, train.strategy.trains
    if trains == "nothing":
        for key, value in (
            ("freeze.embeddings", train.freeze.embeddings),
            ("freeze.layers", train.freeze.layers),
            ("layer_decay", train.layer_decay != 1),
        ):
            if value:
                yield (
                    f"train.{key}: strategy {name} freezes the whole base; leave it out, or take "
                    "another train.strategy"
                )
    if trains == "lora" and train.freeze.embeddings:
        yield (
            f"train.freeze.embeddings: strategy {name} trains no embeddings, so it freezes "
            "nothing; leave it out"
        )
    if trains != "lora":
        defaults = type(recipe.lora)()
        changed = [key for key, value in recipe.lora if value != getattr(defaults, key)]
        if changed:
            yield (
                f"lora.{changed[0]}: strategy {name} has no LoRA; leave the section lora out (on "
                "the command line: lora={})"
            )
    if trains == "weights":
        yield from _of_weights(recipe)


def _of_weights(recipe: Recipe) -> Iterator[str]:
    name = recipe.train.strategy.name
    if recipe.base.quantization != "none":
        yield (
            f"base.quantization: rounded weights cannot train, and strategy {name} trains them; "
            "set base.quantization: none"
        )
    if recipe.adapt is not None:
        yield (
            f"adapt: a language adapter under weights that train (strategy {name}) cannot be kept "
            "in one adapter; leave adapt out, or take another train.strategy"
        )
    few = recipe.few_shot
    named = few is not None and (few.way == "mixed" or "learning_rate" in few.model_fields_set)
    if recipe.languages.shots and not named:
        yield (
            f"few_shot.learning_rate: its default is LoRA's, too high for strategy {name}; name "
            "one, such as 2.0e-5"
        )
    frozen = recipe.train.freeze.embeddings or recipe.train.freeze.layers
    if recipe.tokenizer is not None and not frozen:
        changes = [key for key in ("extend", "trim") if getattr(recipe.tokenizer, key) is not None]
        for key in changes:
            yield (
                f"tokenizer.{key}: it changes the table of embeddings, which strategy {name} would "
                "train; set train.freeze.embeddings: true"
            )
