"""Gradual unfreezing, from the top (Howard and Ruder 2018, ULMFiT, aclanthology.org/P18-1031), of
LoRA: the head and the last layer first, then one more layer at a time."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """As LoRA, layer by layer."""

    name: Literal["gradual"]
    share: float = Field(0.5, gt=0, le=1)
    """Of the steps, after which all layers train; the times between are equal."""
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "lora"

    def open_layers(self, layers: int, done: float) -> int:
        """One at first, all from `share` on."""
        # a hair more, as shares of steps are rounded
        return min(layers, 1 + math.floor(layers * done / self.share + 1e-9))

    def opens(self) -> bool:
        """Yes."""
        return True
