"""Load a quantised base with a task head, attach LoRA, and prove that both are what was asked."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from lowres import attention, bases, int8_loading, stacking
from lowres.errors import BaseModelError, DeviceError
from lowres.hardware import Hardware
from lowres.recipe import Base
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BIAS = "_lowres_bias"
"""Where an 8-bit layer's bias is during a pass that rounds it."""
POOLERS = ("pooler",)
"""Modules of a bare encoder outside its blocks."""

# at its import it says that there are faster kernels, at every product that the inputs are cast
# to half precision
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def load_tokenizer(located: bases.LocatedBase) -> PreTrainedTokenizerBase:
    """The fast tokenizer of the base, or of its extension. Raises `BaseModelError` for none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(located.extension or located.path, use_fast=True)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise BaseModelError(f"base.name {located.name}: no usable tokenizer: {reason}") from error
    if not tokenizer.is_fast:
        raise BaseModelError(
            f"base.name {located.name}: has no fast tokenizer (tokenizer.json); lowres needs one "
            "to follow words to their pieces"
        )
    if not _takes_token_types(located):
        # a BERT tokenizer beside a DistilBERT: the model's forward would refuse the types
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
        # saved beside an adapter or a merged model, it must not bring them back
        tokenizer.init_kwargs["model_input_names"] = names
    return tokenizer


def _takes_token_types(located: bases.LocatedBase) -> bool:
    """Whether the encoder tells the first text of a pair from the second by token types."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(located.path)
    encoder: Any = AutoModel._model_mapping[type(config)]
    taken = "token_type_ids" in inspect.signature(encoder.forward).parameters
    return taken and getattr(config, "type_vocab_size", 0) > 1


def load_base(
    located: bases.LocatedBase,
    options: Base,
    task: TaskOptions,
    labels: Sequence[str],
    hardware: Hardware,
) -> PreTrainedModel:
    """The encoder with a new head of `len(labels)` outputs, frozen weights quantised as asked.

    The head, norms and embeddings stay float. Raises `BaseModelError` when the loaded modules
    are not what was asked, `DeviceError` when 8-bit cannot run here.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        located.path,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    heads = bases.head_modules(config.model_type, task.model_class)
    auto = getattr(transformers, f"AutoModelFor{task.model_class}")
    return _loaded(auto, config, heads, located, options, hardware)


def load_encoder(
    located: bases.LocatedBase, options: Base, hardware: Hardware, masked_lm: bool
) -> tuple[Any, Any]:
    """The bare encoder for adaptation, and the masked-LM model that it is part of (or None).

    With the extension's rows where the located base has one; for a masked LM the table is whole
    even where the base is trimmed: a softmax over fewer pieces would be another loss. Raises as
    `load_base` does.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(located.path)
    if not masked_lm:
        # a pooler has no part in it; where the checkpoint lacks one it could not be quantised
        encoder = _loaded(transformers.AutoModel, config, POOLERS, located, options, hardware)
        return encoder, None
    located = replace(located, kept=None)
    heads = bases.masked_lm_head(config.model_type)
    full = _loaded(transformers.AutoModelForMaskedLM, config, heads, located, options, hardware)
    return full.base_model, full


def _loaded(
    auto: Any,
    config: Any,
    heads: Sequence[str],
    located: bases.LocatedBase,
    options: Base,
    hardware: Hardware,
) -> PreTrainedModel:
    """A model by its Auto class, quantised, checked, with what the located base brings along."""
    quantization = quantization_config(options.quantization, heads, hardware)
    try:
        dtype = float_type(options.quantization, hardware)
        attending = _attention(config, hardware)
        model: PreTrainedModel
        if quantization is not None:
            model = int8_loading.load(
                auto,
                Path(located.path),
                config,
                dtype,
                options.allow_pickle,
                quantization_config=quantization,
                device_map=device_map(hardware),
                attn_implementation=attending,
            )
        else:
            model = auto.from_pretrained(
                located.path,
                config=config,
                dtype=dtype,
                use_safetensors=None if options.allow_pickle else True,
                attn_implementation=attending,
            )
    except Exception as error:
        if _is_broken_file(error):
            reason = str(error).splitlines()[0]
            raise BaseModelError(
                f"base.name {located.name}: the weights in {located.path} cannot be read "
                f"({reason}); copy or download the base again"
            ) from error
        if not isinstance(error, ImportError):
            raise
        raise DeviceError(
            f"base.quantization {options.quantization}: bitsandbytes cannot be used here "
            f"({str(error).splitlines()[0]}); set base.quantization: none"
        ) from error
    check_modules(model, options.quantization, heads, located.name)
    for path, module in model.named_modules():
        if path in heads:
            # the rest may be in half precision; what trains would lose the optimizer's small steps
            module.float()
    _settle(model)
    if quantization is None:
        model.to(hardware.device)  # type: ignore[arg-type]
    stacking.under(model, located.extension, located.language, located.kept)
    return model


def embedding_table(located: bases.LocatedBase) -> np.ndarray:
    """[rows, hidden] float32 of the base's input embeddings."""
    import torch
    import transformers

    encoder = transformers.AutoModel.from_pretrained(
        located.path, dtype=torch.float32, use_safetensors=None
    )
    table: np.ndarray = encoder.get_input_embeddings().weight.detach().numpy()
    return table


def table_shape(located: bases.LocatedBase) -> tuple[int, int]:
    """(rows, width) of the base's input embeddings; no weight is read."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(located.path)
    with torch.device("meta"):
        encoder = transformers.AutoModel.from_config(config)
    rows, width = encoder.get_input_embeddings().weight.shape
    return int(rows), int(width)


def embedding_path(model: Any) -> str:
    """Path of the input embeddings in a model."""
    embeddings = model.get_input_embeddings()
    found = next(path for path, module in model.named_modules() if module is embeddings)
    return str(found)


def checkpoint_classes(located: bases.LocatedBase) -> tuple[str, ...]:
    """What a checkpoint says it was saved from, such as `XLMRobertaForMaskedLM`."""
    config = json.loads((Path(located.path) / "config.json").read_text(encoding="utf-8"))
    return tuple(config.get("architectures") or ())


def _is_broken_file(error: Exception) -> bool:
    """Whether weights are cut off or damaged: each format has its own words for it."""
    from safetensors import SafetensorError

    torn = isinstance(error, RuntimeError) and "PytorchStreamReader" in str(error)
    return torn or isinstance(error, (SafetensorError, OSError, EOFError, UnpicklingError))


def _settle(model: Any) -> None:
    """Mend habits of bitsandbytes 0.50.

    8-bit: peft 0.21 moves a weight to where it is for DoRA, and the move loses the scales that the
    layer has taken from it; see also `_as_autocast` and `_let_input_go`. NF4, on a CPU: the first
    `eval()` pass repacks weights for AVX512-BF16. It rounds their scales to bf16 in place, for
    good, so training after the first evaluation and any resumed run would go on with another base;
    and it refuses widths below 64.
    """
    for module in model.modules():
        if hasattr(module, "init_8bit_state"):
            module.register_forward_pre_hook(_keep_scales)
            module.register_forward_pre_hook(_as_autocast)
            module.register_forward_hook(_let_input_go)
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _keep_scales(layer: Any, inputs: Any) -> None:
    if layer.weight.CB is not None and layer.weight.SCB is None:
        layer.weight.SCB = layer.state.SCB


def _as_autocast(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The input of an 8-bit layer in the format that autocast gives to the inputs of others.

    Autocast does not know bitsandbytes' layers: what comes from a layer norm stays float32, and so
    do the weights of each pass, the gradient of the input, and on a GPU the output. On a processor
    outputs are to the last bit what they were. Its passes without training multiply in int8, and
    are left alone.
    """
    import torch

    x = inputs[0]
    device = x.device.type
    if not torch.is_autocast_enabled(device) or (device == "cpu" and not layer.training):
        return None
    if layer.bias is not None and getattr(layer, _BIAS, None) is None:
        # the layer rounds it to the format of its input, for good
        setattr(layer, _BIAS, layer.bias.data)
    return (x.to(torch.get_autocast_dtype(device)), *inputs[1:])


def _let_input_go(layer: Any, inputs: Any, output: Any) -> None:
    """Give an 8-bit layer its bias back, and free its input where it is frozen.

    bitsandbytes 0.50 keeps that for the gradient of the weight, which nobody asks for, on the node
    and not by `save_for_backward`: gradient checkpointing cannot drop it, and every layer's stays
    until the backward pass.
    """
    if getattr(layer, _BIAS, None) is not None:
        layer.bias.data = getattr(layer, _BIAS)
        setattr(layer, _BIAS, None)
    node = output.grad_fn
    if node is None or layer.weight.requires_grad:
        return
    if hasattr(node, "tensors"):  # MatMul8bitLt, on a GPU
        node.tensors = (None, None, None)
    elif hasattr(node, "A"):  # MatMul8bitFp, on a processor
        node.A = None


def quantization_config(kind: str, heads: Sequence[str], hardware: Hardware) -> Any:
    """bitsandbytes' configuration, or None.

    The skip list is passed in full: the default one misses heads that the checkpoint lacks, which
    then become `Linear8bitLt` that are never quantised and crash (`no attribute 'CB'`).
    """
    if kind == "none":
        return None
    import torch
    from transformers import BitsAndBytesConfig

    skip = list(heads)
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    compute = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute[hardware.precision],
        llm_int8_skip_modules=skip,
    )


def float_type(kind: str, hardware: Hardware) -> torch.dtype:
    """Type of the weights that stay float: never the checkpoint's own, a CPU can't train fp16.

    Half on a GPU, where embeddings are most of a quantised base, unless fp32 was asked for.
    """
    import torch

    half = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if hardware.device == "cuda" and kind != "none":
        return half.get(hardware.precision, torch.float32)
    return torch.float32


def device_map(hardware: Hardware) -> dict[str, int | str]:
    """All on one device. A GPU by its number: each process of a distributed run has its own, and
    Trainer takes the bare word `cuda` for a second device."""
    import torch

    return {"": torch.cuda.current_device() if hardware.device == "cuda" else hardware.device}


def _attention(config: Any, hardware: Hardware) -> str | None:
    """What an architecture's attention is computed by; None for its own way."""
    from transformers import AutoModel

    kind = AutoModel._model_mapping[type(config)]
    if not getattr(kind, "_supports_sdpa", False):
        return None
    by_name = hardware.device == "cpu" and getattr(kind, "_supports_attention_backend", False)
    return attention.register() if by_name else "sdpa"


def check_modules(model: Any, kind: str, heads: Sequence[str], name: str) -> None:
    """Every linear layer of the blocks is quantised, no linear layer of a head is."""
    import torch

    if kind == "none":
        return
    from bitsandbytes.nn import modules as quantised

    quantised_type = quantised.Linear8bitLt if kind == "8bit" else quantised.Linear4bit
    for path, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        is_quantised = isinstance(module, quantised_type)
        if within(path, heads):
            if is_quantised:
                raise BaseModelError(f"base.name {name}: the head {path} was quantised")
        elif not is_quantised or module.weight.dtype not in (torch.int8, torch.uint8):
            raise BaseModelError(
                f"base.name {name}: {path} was to be {kind} and is {module.weight.dtype}; set "
                "base.quantization: none"
            )


def within(path: str, modules: Sequence[str]) -> bool:
    """Whether a path is that of one of these modules, or of something inside one."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)
