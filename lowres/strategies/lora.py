"""LoRA on the linear layers of every block (Hu et al. 2021, arXiv:2106.09685); the default."""

from __future__ import annotations

from typing import ClassVar, Literal

from lowres.strategies import StrategyOptions


class Options(StrategyOptions):
    """The section `lora` says how."""

    name: Literal["lora"] = "lora"
    trains: ClassVar[Literal["lora", "weights", "nothing"]] = "lora"
