"""What of a base trains for a task, beside the task's head.

One file adds one way. It defines `Options`, a subclass of `StrategyOptions` with a `Literal` name
and what it says of itself in class variables; nothing else in the package names it. Weights are
found, wrapped and given their rates by `trained.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict


class StrategyOptions(BaseModel):
    """Base of `train.strategy`; frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    trains: ClassVar[Literal["lora", "weights", "nothing"]]
    """Of the base: LoRA on its linear layers, its own weights, or nothing."""
    still: ClassVar[bool] = False
    """Whether the base is without dropout in training: a text has the same vectors at each pass."""
    lowest_still: ClassVar[bool] = True
    """Whether the layers below the lowest one that trains may be without dropout, and so be
    computed once (`prefix.py`)."""
    rates: ClassVar[Mapping[str, float]] = {}
    """`learning_rate`, `head_learning_rate` where a recipe names none, if not the section's own."""

    def open_layers(self, layers: int, done: float) -> int:
        """How many of the base's layers train, counted from the top.

        Args:
            layers: that the recipe lets train at all.
            done: share of the training's steps that are done, from 0 to below 1.
        """
        return layers

    def opens(self) -> bool:
        """Whether `open_layers` changes as training goes on."""
        return False
