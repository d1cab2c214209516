"""Language adapters: frozen LoRA and rows under a task's own LoRA, and both as one adapter.

A language adapter is a peft adapter of the bare encoder. Under a task model it is not a second peft
adapter but a forward hook on each linear layer: invisible to the Trainer, to its checkpoints and to
what is trained. When the task adapter is saved, both become one LoRA of the sum of the ranks,
exactly (what peft calls `cat`), and the rows go into peft's own `trainable_token_indices`, so that
plain transformers and peft load it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional

from lowres import rows as new_rows
from lowres import trimmed
from lowres.errors import RunError
from lowres.extension import read_rows as read_extension_rows

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ADAPTERS = "adapters"
"""Folder of the adapters of single languages, beside or inside that of the common one."""
ROWS_KEY = "token_adapter.trainable_tokens_delta"
PREFIX = "base_model.model."


@dataclass(frozen=True)
class Language:
    """A language adapter as tensors. `factors` are (A [rank, in], B [out, rank]) by the path of the
    linear layer inside the encoder, scale already in B; `rows` [new pieces, hidden] or None."""

    factors: dict[str, tuple[torch.Tensor, torch.Tensor]]
    rank: int
    rows: torch.Tensor | None
    first_id: int | None


def scale_of(config: dict[str, Any]) -> float:
    """What peft multiplies LoRA's product by."""
    rank = int(config["r"])
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return float(config["lora_alpha"]) / divisor


def token_ids(config: dict[str, Any]) -> list[int]:
    """The ids whose rows an adapter brings, in the order of its rows."""
    found = config.get("trainable_token_indices") or []
    return list(next(iter(found.values()), [])) if isinstance(found, dict) else list(found)


def read_config(folder: Path) -> dict[str, Any]:
    """An adapter's `adapter_config.json`."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder / CONFIG}: cannot be read ({error}); make the adapter again"
        ) from error
    return config


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    """An adapter's weights, as safetensors opens them."""
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{folder / WEIGHTS}: cannot be read ({error}); make the adapter again"
        ) from error


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    with _opened(folder) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def names(folder: Path) -> list[str]:
    """Of the tensors in an adapter's file."""
    with _opened(folder) as file:
        return list(file.keys())


def read_rows(folder: Path, config: dict[str, Any]) -> tuple[torch.Tensor, int] | None:
    """The new rows of an adapter and the id of the first; None where it brings none.

    Raises `RunError` when rows and ids are not of one number.
    """
    ids = token_ids(config)
    if not ids:
        return None
    with _opened(folder) as file:
        keys = [key for key in file.keys() if key.endswith(ROWS_KEY)]  # noqa: SIM118
        found = [file.get_tensor(key) for key in keys]
    if len(found) != 1 or len(found[0]) != len(ids):
        have = [list(tensor.shape) for tensor in found]
        raise RunError(
            f"{folder / WEIGHTS}: holds rows of shape {have}, expected {len(ids)} of them, one a "
            f"piece that {CONFIG} names; the files are of different adapters: copy it again"
        )
    if ids != list(range(ids[0], ids[0] + len(ids))):
        raise RunError(
            f"{folder / CONFIG}: trainable_token_indices has gaps; lowres reads rows of new pieces "
            "only, which stand behind the old ones; load it with plain peft"
        )
    return found[0], ids[0]


def _check_plain(config: dict[str, Any], folder: Path) -> None:
    """Raise `RunError` for what cannot be a part of a combined LoRA."""
    kind = "DoRA" if config.get("use_dora") else config.get("peft_type", "LORA")
    patterns = [key for key in ("rank_pattern", "alpha_pattern") if config.get(key)]
    if kind != "LORA" or patterns:
        raise RunError(
            f"{folder / CONFIG}: {' and '.join(patterns) or kind} cannot be combined into one LoRA "
            "with another adapter; make both as plain LoRA of one rank (lora.dora: false)"
        )


def read(folder: Path) -> Language:
    """A language adapter from its folder."""
    config = read_config(folder)
    _check_plain(config, folder)
    scale, state = scale_of(config), _weights(folder)
    factors = {}
    for key, value in state.items():
        if key.endswith(".lora_A.weight"):
            path = key.removeprefix(PREFIX).removesuffix(".lora_A.weight")
            factors[path] = (value, state[key.replace(".lora_A.", ".lora_B.")] * scale)
    brought = read_rows(folder, config)
    rows, first = brought if brought is not None else (None, None)
    return Language(factors, int(config["r"]), rows, first)


def attach(model: Any, language: Language) -> None:
    """Put a language adapter under a model's encoder: hooks on its linear layers.

    The rows are `rows.extend`'s. Raises `RunError` when the encoder has no layer of a name.
    """
    assert find(model) == (), "load the plain base: this one has a language adapter"
    encoder = model.base_model
    for path, (down, up) in language.factors.items():
        try:
            layer = encoder.get_submodule(path)
        except AttributeError as error:
            raise RunError(
                f"the language adapter is of another architecture: {type(encoder).__name__} has no "
                f"layer {path}; adapt this base again"
            ) from error
        if layer.in_features != down.shape[1] or layer.out_features != up.shape[0]:
            raise RunError(
                f"the language adapter is of another base: its {path} is {down.shape[1]} x "
                f"{up.shape[0]}, this base's {layer.in_features} x {layer.out_features}; adapt "
                "this base again"
            )
        device = layer.weight.device
        layer.register_forward_hook(_Delta(down.to(device), up.to(device)))


def find(model: Any) -> tuple[str, ...]:
    """Paths of the layers under which a language adapter lies; none without one."""
    return tuple(
        path
        for path, module in model.named_modules()
        if any(isinstance(hook, _Delta) for hook in module._forward_hooks.values())
    )


def tensors(block: Any) -> list[torch.Tensor]:
    """Of the language adapter under the layers of a block."""
    hooks = (hook for module in block.modules() for hook in module._forward_hooks.values())
    return [one for hook in hooks if isinstance(hook, _Delta) for one in (hook.down, hook.up)]


class _Delta:
    """Adds a frozen low-rank product to what a linear layer gives."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor) -> None:
        self.down = down
        self.up = up

    def __call__(self, layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> Any:
        x = inputs[0].to(self.down.dtype)
        return output + functional.linear(functional.linear(x, self.down), self.up).to(output.dtype)


def combine(
    folder: Path,
    language: Language | None,
    rows: tuple[torch.Tensor, int] | None,
    encoder_prefix: str,
    embedding_path: str,
) -> None:
    """Make the task adapter in a folder and what lay under it one adapter, in place.

    Args:
        folder: what `save_pretrained` of peft wrote for the task alone.
        language: the language adapter that it was trained on, or None.
        rows: new rows and the first one's id, or None.
        encoder_prefix: what stands before the encoder's paths in the task model, such as `bert`.
        embedding_path: of the input embeddings in the task model.
    """
    config, state = read_config(folder), _weights(folder)
    if language is not None:
        _check_plain(config, folder)
        state = _concatenated(state, language, scale_of(config), encoder_prefix)
        # where only the head was trained, the word for none stands in place of a list
        own = config["target_modules"] if isinstance(config["target_modules"], list) else ()
        rank = (int(config["r"]) if own else 0) + language.rank
        paths = {_joined(encoder_prefix, path) for path in language.factors}
        targets = sorted({*own, *paths})
        config.update(r=rank, lora_alpha=rank, use_rslora=False, target_modules=targets)
    if rows is not None:
        values, first = rows
        state[f"{PREFIX}{embedding_path}.{ROWS_KEY}"] = values.to(torch.float32).contiguous()
        name = embedding_path.rsplit(".", 1)[-1]
        config["trainable_token_indices"] = {name: list(range(first, first + len(values)))}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def taken_apart(folder: Path, language: Language | None, scale: float) -> dict[str, torch.Tensor]:
    """The task's own weights of an adapter that `combine` made, as they were before.

    Args:
        folder: of the adapter.
        language: the language adapter in it, or None.
        scale: of the task's LoRA.
    """
    state = {key: value for key, value in _weights(folder).items() if not key.endswith(ROWS_KEY)}
    if language is None:
        return state
    below = language.rank
    parts = {}
    for key, value in state.items():
        if key.endswith(".lora_A.weight"):
            value = value[below:]
        elif key.endswith(".lora_B.weight"):
            value = value[:, below:] / scale
        parts[key] = value.contiguous()
    return parts


def _concatenated(
    state: dict[str, torch.Tensor], language: Language, scale: float, prefix: str
) -> dict[str, torch.Tensor]:
    """The task's factors and the language's side by side; scale 1 for both."""
    out = {key: value for key, value in state.items() if ".lora_" not in key}
    downs, ups = _factors(state)
    rank = next((down.shape[0] for down in downs.values()), 0)
    below = {_joined(prefix, path): pair for path, pair in language.factors.items()}
    for path in sorted({*downs, *below}):
        parts = []
        if path in below:
            parts.append(below[path])
        else:
            parts.append(_nothing(downs[path], ups[path], language.rank))
        if path in downs:
            parts.append((downs[path], ups[path] * scale))
        elif rank:
            parts.append(_nothing(*below[path], rank))
        out[f"{PREFIX}{path}.lora_A.weight"] = torch.cat([a.float() for a, _ in parts], dim=0)
        out[f"{PREFIX}{path}.lora_B.weight"] = torch.cat([b.float() for _, b in parts], dim=1)
    return {key: value.contiguous() for key, value in out.items()}


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}.{path}" if prefix else path


def _factors(
    state: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    def named(end: str) -> dict[str, torch.Tensor]:
        return {
            key.removeprefix(PREFIX).removesuffix(end): value
            for key, value in state.items()
            if key.endswith(end)
        }

    return named(".lora_A.weight"), named(".lora_B.weight")


def _nothing(down: torch.Tensor, up: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of a product that is zero, of the same layer."""
    return down.new_zeros(rank, down.shape[1]), up.new_zeros(up.shape[0], rank)


def rows_under(extension: str | None, language: Language | None) -> tuple[torch.Tensor, int] | None:
    """New rows and the first one's id: the language adapter's, which were trained, or else those
    that the extension starts from."""
    if language is not None and language.rows is not None and language.first_id is not None:
        return language.rows, language.first_id
    if extension is None:
        return None
    values, first = read_extension_rows(Path(extension))
    return torch.from_numpy(values), first


def under(model: Any, extension: str | None, language: str | None, kept: str | None = None) -> None:
    """Give a freshly loaded model the rows and the language adapter that it stands on.

    Args:
        model: an encoder, with a head or without.
        extension: folder of a tokenizer extension, or None.
        language: folder of a language adapter, or None.
        kept: file of the rows that a trimmed table keeps, or None for all.
    """
    if kept is not None:
        trimmed.apply(model, trimmed.read(Path(kept)))
    found = read(Path(language)) if language is not None else None
    brought = rows_under(extension, found)
    if brought is not None:
        new_rows.extend(model, *brought)
    if found is not None:
        attach(model, found)
