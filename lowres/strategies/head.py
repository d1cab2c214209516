"""The task's head alone, on a base that is frozen and otherwise as in fine-tuning, dropout on: no
pass sees quite the same vectors of a text, which keeps the head from learning them by heart."""

from __future__ import annotations

from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """Pooler included, where the head has one."""

    name: Literal["head"]
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "nothing"
    lowest_still: ClassVar[bool] = False
