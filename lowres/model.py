"""Load a quantised base with a task head, attach LoRA, and prove that both are what was asked."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import bases
from lowres.errors import BaseModelError, DeviceError
from lowres.hardware import Hardware
from lowres.recipe import Base, Lora
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LABELS_FILE = "labels.json"


def load_tokenizer(located: bases.LocatedBase) -> PreTrainedTokenizerBase:
    """The base's fast tokenizer. Raises `BaseModelError` when there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(located.path, use_fast=True)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise BaseModelError(f"base.name {located.name}: no usable tokenizer: {reason}") from error
    if not tokenizer.is_fast:
        raise BaseModelError(
            f"base.name {located.name}: has no fast tokenizer (tokenizer.json); lowres needs one "
            "to follow words to their pieces"
        )
    return tokenizer


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
    quantization = quantization_config(options.quantization, heads, hardware)
    try:
        model: PreTrainedModel = auto.from_pretrained(
            located.path,
            config=config,
            dtype=float_type(options.quantization, hardware),
            quantization_config=quantization,
            device_map={"": hardware.device} if quantization is not None else None,
            use_safetensors=None if options.allow_pickle else True,
            attn_implementation="sdpa" if _has_sdpa(config) else None,
        )
    except ImportError as error:
        raise DeviceError(
            f"base.quantization {options.quantization}: bitsandbytes cannot be used here "
            f"({str(error).splitlines()[0]}); set base.quantization: none"
        ) from error
    check_modules(model, options.quantization, heads, located.name)
    if quantization is None:
        model.to(hardware.device)  # type: ignore[arg-type]
    return model


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
        # it notes at every product that the inputs are cast to half precision
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
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
    """Type of the weights that stay float: never the checkpoint's own, a CPU can't train fp16."""
    import torch

    if hardware.device == "cuda" and kind != "none":
        return torch.bfloat16 if hardware.precision == "bf16" else torch.float16
    return torch.float32


def _has_sdpa(config: Any) -> bool:
    from transformers import AutoModel

    return bool(getattr(AutoModel._model_mapping[type(config)], "_supports_sdpa", False))


def check_modules(model: Any, kind: str, heads: Sequence[str], name: str) -> None:
    """Every linear layer of the blocks is quantised, no linear layer of a head is."""
    import torch

    if kind == "none":
        return
    from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt

    quantised_type = Linear8bitLt if kind == "8bit" else Linear4bit
    seen = 0
    for path, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        in_head = any(path == head or path.startswith(f"{head}.") for head in heads)
        is_quantised = isinstance(module, quantised_type)
        if in_head and is_quantised:
            raise BaseModelError(f"base.name {name}: the head {path} was quantised; it must train")
        if not in_head and is_quantised and module.weight.dtype not in (torch.int8, torch.uint8):
            raise BaseModelError(f"base.name {name}: {path} was to be {kind} and is not")
        seen += is_quantised
    if not seen:
        raise BaseModelError(
            f"base.name {name}: nothing was quantised to {kind}; set base.quantization: none"
        )


def attach_lora(model: PreTrainedModel, lora: Lora, task: TaskOptions, name: str) -> PeftModel:
    """LoRA on the encoder's linear layers; the head trains whole and is saved with the adapter.

    Raises `BaseModelError` when `lora.targets` matches nothing, or reaches the head.
    """
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    heads = bases.head_modules(model.config.model_type, task.model_class)
    suffixes = (
        bases.lora_targets(model.config.model_type) if lora.targets == "auto" else lora.targets
    )
    targets = target_modules(model, suffixes, heads)
    if not targets:
        raise BaseModelError(
            f"lora.targets {list(suffixes)}: no linear layer of {name} has such a name"
        )
    kinds = {"SequenceClassification": TaskType.SEQ_CLS, "TokenClassification": TaskType.TOKEN_CLS}
    config = LoraConfig(
        task_type=kinds[task.model_class],
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        # peft matches by suffix: the last part of the path names the head everywhere
        modules_to_save=sorted({head.rsplit(".", 1)[-1] for head in heads}),
    )
    with quiet_peft():
        peft_model = get_peft_model(model, config)
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            # the optimizer's steps vanish in half precision
            parameter.data = parameter.data.to(torch.float32)
    return peft_model


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silences a deprecation between libraries: peft 0.21 reads a name that transformers 5.23
    renames. Nothing a user of lowres could change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def target_modules(model: Any, suffixes: Sequence[str], heads: Sequence[str]) -> list[str]:
    """Full paths of the linear layers with one of these suffixes, outside the heads.

    Full paths, because `all-linear` and bare suffixes such as `dense` also reach the head, whose
    updates then go to an unused copy (peft #2027, #602).
    """
    import torch

    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and any(path == s or path.endswith(f".{s}") for s in suffixes)
        and not any(path == head or path.startswith(f"{head}.") for head in heads)
    ]


def save_adapter(
    model: Any,
    folder: Path,
    located: bases.LocatedBase,
    task: TaskOptions,
    labels: Sequence[str],
    max_tokens: int,
    quantization: str,
) -> None:
    """peft's own format, naming the base by its Hub id where it has one; label names beside it."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = located.hub_id or located.path
    config.revision = located.revision
    config.inference_mode = True
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    meta = {
        "labels": list(labels),
        "task": task.model_dump(mode="json"),
        "base": located.name,
        "quantization": quantization,
        "max_tokens": max_tokens,
    }
    (folder / LABELS_FILE).write_text(
        json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def load_adapter(base: PreTrainedModel, folder: Path, trainable: bool = False) -> PeftModel:
    """An adapter and its head over a loaded base."""
    from peft import PeftModel

    with quiet_peft():
        model: PeftModel = PeftModel.from_pretrained(base, str(folder), is_trainable=trainable)
    return model.eval()


def count_parameters(model: Any) -> tuple[int, int]:
    """All parameters (quantised ones by their true number) and those that train."""
    trainable, total = model.get_nb_trainable_parameters()
    return int(total), int(trainable)
