"""The task's head alone, on a base that is frozen and otherwise as in fine-tuning, dropout on: no
pass sees quite the same vectors of a text, which keeps the head from learning them by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """Pooler included, where the head has one."""

    name: Literal["head"]
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "nothing"
    # where nothing else moves it wants ten times the rate (SIB-200, e5-small, source dev)
    rates: ClassVar[Mapping[str, float]] = {"head_learning_rate": 3e-2}
    lowest_still: ClassVar[bool] = False
