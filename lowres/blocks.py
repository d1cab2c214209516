"""The blocks of an encoder, and how many of the lowest ones nothing trains in."""

from __future__ import annotations

from typing import Any

from torch import nn

from lowres.errors import BaseModelError


def encoder_of(network: Any) -> Any:
    """The bare encoder of a task model, wrapped by peft or not."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    return inner.base_model


def find(network: Any) -> list[nn.Module]:
    """The blocks in their order, the lowest first; empty where one block stands for several
    (ALBERT) or they are not in one list."""
    encoder = encoder_of(network)
    count = getattr(encoder.config, "num_hidden_layers", 0)
    lists = [m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == count > 0]
    # a shared block is a list of one, or of groups
    outer = [one for one in lists if len({type(block) for block in one}) == 1]
    return list(outer[0]) if outer and len(set(map(id, outer[0]))) == count else []


def top_paths(network: Any, count: int, name: str) -> tuple[str, ...]:
    """Paths of the `count` highest blocks in a task model without peft.

    Raises `BaseModelError` where the base has fewer, or none that can be told apart.
    """
    found = find(network)
    if not found:
        raise BaseModelError(
            f"lora.layers: the layers of {name} share their weights or cannot be told apart; set "
            "lora.layers: all"
        )
    if count > len(found):
        raise BaseModelError(
            f"lora.layers: top:{count}, but {name} has {len(found)} layers; set lora.layers: all, "
            f"or top:1 to top:{len(found)}"
        )
    paths = {id(module): path for path, module in network.named_modules()}
    return tuple(paths[id(block)] for block in found[len(found) - count :])


def frozen(network: Any) -> int:
    """How many of the lowest blocks give for a text what they gave before: below them and in them
    nothing trains, and no LoRA stands that other adapters have otherwise. 0 where embeddings
    train."""
    encoder, blocks = encoder_of(network), find(network)
    table = encoder.get_input_embeddings()
    below = [child for child in encoder.children() if table in set(child.modules())]
    if any(_changes(module) for module in (table, *below)):
        return 0
    count = 0
    for block in blocks:
        if _changes(block):
            break
        count += 1
    return count


def _changes(module: nn.Module) -> bool:
    """Whether anything in a module trains, or is an adapter's: LoRA, or weights of its own."""
    trains = any(p.requires_grad for p in module.parameters())
    its = ("lora_A", "modules_to_save")
    return trains or any(hasattr(each, name) for each in module.modules() for name in its)
