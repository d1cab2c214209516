"""Feature extraction: the task's head on vectors of the base that never change (Peters, Ruder and
Smith 2019, "To Tune or Not to Tune?", aclanthology.org/W19-4302).

The base is frozen and without dropout. This is a model that can be published. The baseline of the
same name, which every run has, is a logistic regression on the mean of a text's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """Pooler included, where the head has one."""

    name: Literal["probe"]
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "nothing"
    # where nothing else moves it wants ten times the rate (SIB-200, e5-small, source dev)
    rates: ClassVar[Mapping[str, float]] = {"head_learning_rate": 3e-2}
    still: ClassVar[bool] = True
