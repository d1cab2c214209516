"""Attach LoRA to a loaded base: what trains, and in which formats (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lowres import bases, blocks, depth, dropout, model, quiet
from lowres.errors import BaseModelError
from lowres.hardware import Hardware
from lowres.recipe import Lora
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def attach(
    network: PreTrainedModel,
    options: Lora,
    task: TaskOptions,
    name: str,
    frozen_layers: int = 0,
) -> PeftModel:
    """LoRA on the encoder's linear layers; the head trains whole and is saved with the adapter.

    `frozen_layers`: of the lowest layers, so many have none. Raises `BaseModelError` when
    `lora.targets` matches nothing outside the head, or the base has not the layers of
    `lora.layers`.
    """
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    heads = bases.head_modules(network.config.model_type, task.model_class)
    suffixes = (
        bases.lora_targets(network.config.model_type)
        if options.targets == "auto"
        else options.targets
    )
    found = target_modules(network, suffixes, heads)
    targets = [path for path in found if (depth.layer_of(path) or 0) >= frozen_layers]
    if not targets:
        raise BaseModelError(
            f"lora.targets {list(suffixes)}: no linear layer of {name} has such a name"
        )
    if options.top is not None:
        inside = blocks.top_paths(network, options.top, name)
        targets = [path for path in targets if model.within(path, inside)]
    kinds = {"SequenceClassification": TaskType.SEQ_CLS, "TokenClassification": TaskType.TOKEN_CLS}
    config = LoraConfig(
        task_type=kinds[task.model_class],
        r=options.rank,
        lora_alpha=options.alpha,  # type: ignore[arg-type]
        lora_dropout=options.dropout,
        target_modules=targets,
        use_rslora=options.rslora,
        use_dora=options.dora,
        # peft matches by suffix: the last part of the path names the head everywhere
        modules_to_save=sorted({head.rsplit(".", 1)[-1] for head in heads}),
    )
    if options.dora:
        settle_int8(network)
    with quiet.peft():
        peft_model = get_peft_model(network, config)
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            # the optimizer's steps vanish in half precision
            parameter.data = parameter.data.to(torch.float32)
    dropout.quicken(peft_model)
    return peft_model


def halve_frozen(network: PeftModel, hardware: Hardware) -> None:
    """Hold the frozen linear layers under LoRA in the format that autocast multiplies them in.

    The products are the same to the last bit: autocast would round the weights at every pass. Not
    for DoRA, which takes the norms of the weights themselves.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    formats = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if hardware.precision not in formats:
        return
    for module in network.modules():
        if isinstance(module, LoraLayer) and not any(module.use_dora.values()):
            layer = module.get_base_layer()
            if type(layer) is torch.nn.Linear:
                layer.to(formats[hardware.precision])


def attach_language(encoder: Any, rank: int, alpha: float, name: str) -> PeftModel:
    """LoRA on every linear layer of a bare encoder's blocks, for a language adapter."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    suffixes = bases.lora_targets(encoder.config.model_type)
    targets = target_modules(encoder, suffixes, model.POOLERS)
    if not targets:
        raise BaseModelError(f"base.name {name}: no linear layer to adapt among {list(suffixes)}")
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]
        target_modules=targets,
    )
    with quiet.peft():
        network = get_peft_model(encoder, config)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    dropout.quicken(network)
    return network


def target_modules(network: Any, suffixes: Sequence[str], heads: Sequence[str]) -> list[str]:
    """Full paths of the linear layers with one of these suffixes, outside the heads.

    Full paths, because `all-linear` and bare suffixes such as `dense` also reach the head, whose
    updates then go to an unused copy (peft #2027, #602).
    """
    import torch

    return [
        path
        for path, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
        and any(path == s or path.endswith(f".{s}") for s in suffixes)
        and not model.within(path, heads)
    ]


def settle_int8(network: Any) -> None:
    """Move the scales of 8-bit layers to where forward passes look for them.

    bitsandbytes does so at the first forward pass; DoRA takes the norms of the frozen weights
    before that, and peft loses the scales on the way (`'NoneType' object has no attribute
    'unsqueeze'` afterwards).
    """
    for module in network.modules():
        if type(module).__name__ == "Linear8bitLt" and module.weight.CB is not None:
            module.init_8bit_state()
