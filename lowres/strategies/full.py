"""Fine-tuning: all weights of the base train (Devlin et al. 2019, aclanthology.org/N19-1423)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """Over an unquantised base; the adapter holds the trained weights whole."""

    name: Literal["full"]
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "weights"
    rates: ClassVar[Mapping[str, float]] = {"learning_rate": 2e-5, "head_learning_rate": 2e-4}
