"""Feature extraction: the task's head on vectors of the base that never change (Peters, Ruder and
Smith 2019, "To Tune or Not to Tune?", aclanthology.org/W19-4302).

The base is frozen and without dropout. This is a model that can be published. The baseline of the
same name, which every run has, is a logistic regression on the mean of a text's vectors.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """Pooler included, where the head has one."""

    name: Literal["probe"]
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "nothing"
    still: ClassVar[bool] = True
