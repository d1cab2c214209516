"""Which weights train, how fast, and how an adapter holds them: what `train.strategy` asks for.

All of it is a peft adapter, so that all of it loads with plain transformers and peft. Where there
is no LoRA, `target_modules` is peft's own word for none, and the weights that train (the head, with
`full` the base's modules too) are in `modules_to_save`.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from lowres import bases, depth, dropout, lora, model, quiet
from lowres.errors import DeviceError
from lowres.recipe import Recipe
from lowres.recipe_strategies import Freeze, check_layers

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

NO_LORA: Final = "dummy-target-modules"
"""peft's `DUMMY_TARGET_MODULES`, which stands in `adapter_config.json`."""


def attach(base: PreTrainedModel, recipe: Recipe, name: str) -> PeftModel:
    """A loaded base with what the recipe's strategy trains; the rest is frozen.

    Raises `BaseModelError` where `train.freeze` leaves nothing of the base to train, or
    `lora.targets` matches nothing.
    """
    strategy, freeze = recipe.train.strategy, recipe.train.freeze
    if strategy.trains == "lora":
        network = lora.attach(base, recipe.lora, recipe.task, name, freeze.layers)
    else:
        own = _own_modules(base, recipe, freeze) if strategy.trains == "weights" else []
        network = _without_lora(base, recipe, own)
    if strategy.still:
        _keep_still(network, heads(base, recipe))
    return network


def check(recipe: Recipe, folder: Path) -> None:
    """Raise `BaseModelError` where `train.freeze.layers` leaves none of the base in a folder,
    `DeviceError` where layers are to join one by one in several processes at once."""
    strategy = recipe.train.strategy
    if strategy.opens() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # torch's DistributedDataParallel is told once what trains
        raise DeviceError(
            f"train.strategy {strategy.name}: layers that join later cannot train in several "
            "processes; start the run without accelerate launch"
        )
    if not recipe.train.freeze.layers:
        return
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    check_layers(recipe, int(config.num_hidden_layers), config.model_type == "albert")


def heads(network: Any, recipe: Recipe) -> tuple[str, ...]:
    """Paths of the modules that the task's head is made of."""
    return tuple(bases.head_modules(network.config.model_type, recipe.task.model_class))


def _own_modules(base: Any, recipe: Recipe, freeze: Freeze) -> list[str]:
    """Paths of the encoder's modules that hold weights, but for those that are frozen.

    A module that holds weights and has others inside is one: a part of it is not saved alone.
    """
    found: list[str] = []
    outside = heads(base, recipe)
    lowest = freeze.layers if freeze.layers else 0 if freeze.embeddings else -1
    for path, module in base.named_modules():
        own = next(module.parameters(recurse=False), None) is not None
        layer = depth.layer_of(path)
        frozen = layer is not None and layer < lowest
        if own and not frozen and not model.within(path, (*outside, *found)):
            found.append(path)
    return found


def _without_lora(base: PreTrainedModel, recipe: Recipe, own: Sequence[str]) -> PeftModel:
    """The head trains, and the encoder's modules at these paths."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    kinds = {"SequenceClassification": TaskType.SEQ_CLS, "TokenClassification": TaskType.TOKEN_CLS}
    its = {head.rsplit(".", 1)[-1] for head in heads(base, recipe)}
    config = LoraConfig(
        task_type=kinds[recipe.task.model_class],
        target_modules=NO_LORA,
        modules_to_save=[*sorted(its), *own],
    )
    with quiet.peft():
        network = get_peft_model(base, config)
    for parameter in network.parameters():
        if parameter.requires_grad:
            # the optimizer's steps vanish in half precision
            parameter.data = parameter.data.to(torch.float32)
    if own:
        forget_originals(network)
    dropout.quicken(network)
    return network


def forget_originals(network: PeftModel) -> None:
    """Give back the memory of the weights that peft keeps beside those that took their place.

    With `train.strategy: full` they are the base once more. `disable_adapter` cannot follow.
    """
    from peft.utils import ModulesToSaveWrapper

    for module in network.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for parameter in module.original_module.parameters():
                parameter.data = parameter.data.new_empty(0)


def _keep_still(network: PeftModel, outside: Sequence[str]) -> None:
    """Keep the encoder in evaluation mode whatever the Trainer says; the head is as ever."""
    whole: Any = network.get_base_model()
    encoder, prefix = whole.base_model, f"{whole.base_model_prefix}."
    for path, module in encoder.named_modules():
        if any(model.within(head, (f"{prefix}{path}".rstrip("."),)) for head in outside):
            # what holds a part of the head, such as an encoder its pooler
            continue
        if not model.within(f"{prefix}{path}", outside):
            module.eval()
            module.train = types.MethodType(_as_it_is, module)


def _as_it_is(module: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
    return module


def rates(network: PeftModel, recipe: Recipe) -> Callable[[str], float]:
    """What the learning rate is multiplied by for a parameter, by its name in a network.

    The head has its own rate; the base's falls by `train.layer_decay` with each layer down.
    """
    train, outside = recipe.train, heads(network.get_base_model(), recipe)
    layers = depth.layers_in(path for path, _ in network.get_base_model().named_modules())

    def rate(name: str) -> float:
        path = name.removeprefix("base_model.model.")
        if model.within(path, outside):
            return train.head_learning_rate / train.learning_rate
        return float(train.layer_decay ** depth.below_top(path, layers))

    return rate
