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
    if not isinstance(section, Mapping):
        return section
    strategy = section.get("strategy")
    name = strategy.get("name") if isinstance(strategy, Mapping) else strategy
    if not isinstance(name, str) or name not in registry.names(FOLDER):
        return section
    return {**registry.module(FOLDER, name).Options.rates, **section}


def check_layers(recipe: Recipe, layers: int, shared: bool = False) -> None:
    """That `train.freeze.layers` leaves a layer of a base to train.

    Args:
        recipe: the study.
        layers: of the base.
        shared: whether they have the same weights, and so are one.

    Raises:
        BaseModelError: none is left.
    """
    frozen, strategy = recipe.train.freeze.layers, recipe.train.strategy
    if strategy.trains == "nothing" or frozen < (1 if shared else layers):
        return
    has = f"one layer (its {layers} share their weights)" if shared else f"{layers} layers"
    raise BaseModelError(
        f"train.freeze.layers {frozen}: {recipe.base.name} has {has}, so nothing is left for "
        f"strategy {strategy.name}; freeze fewer, or set train.strategy: head"
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
