"""Layers of a base that join the training one after another, from the top.

Which ones train is a function of the step alone, so a resumed run goes on where it was. What does
not train yet has no gradient, and costs no backward pass.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lowres import depth
from lowres.strategies import StrategyOptions


class Unfreezing(TrainerCallback):
    """Sets what trains before each step, by `StrategyOptions.open_layers`."""

    def __init__(self, network: Any, strategy: StrategyOptions) -> None:
        self._strategy = strategy
        named = [(name, each) for name, each in network.named_parameters() if each.requires_grad]
        layers = depth.layers_in(name for name, _ in named if ".modules_to_save." not in name)
        self._depths = [
            (each, depth.below_top(name, layers))
            for name, each in named
            if ".modules_to_save." not in name
        ]
        self._layers = len({at for _, at in self._depths})

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        done = state.global_step / max(1, state.max_steps)
        count = self._strategy.open_layers(self._layers, done)
        for parameter, at in self._depths:
            parameter.requires_grad_(at < count)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        # what is counted and saved is all that ever trained
        for parameter, _ in self._depths:
            parameter.requires_grad_(True)


def unfreezing(network: Any, strategy: StrategyOptions) -> list[TrainerCallback]:
    """For a strategy that opens layers as training goes on; nothing for another one."""
    return [Unfreezing(network, strategy)] if strategy.opens() else []
