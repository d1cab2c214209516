"""What this machine computes with: device and number format, by capability and not by claim."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lowres.doctor import bf16_supported, cpu_has_bf16
from lowres.errors import DeviceError
from lowres.recipe import Recipe

if TYPE_CHECKING:
    import torch

Precision = Literal["bf16", "fp16", "fp32"]
KERNELS_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}
"""oneDNN compiles a kernel for every shape of a product, and keeps 1,024 of them: batches have
hundreds of lengths, and memory grew with the data (benchmarks/growth.py)."""


@dataclass(frozen=True)
class Hardware:
    """Where tensors live and what format they are multiplied in."""

    device: str
    """A torch device string: cuda, cpu or mps."""
    precision: Precision
    """Number format of autocast; fp32 means no autocast."""

    def autocast(self) -> torch.autocast:
        """Autocast to `precision`; does nothing for fp32."""
        import torch

        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device, dtype=dtype, enabled=self.precision != "fp32")

    def moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """A processor's tensor on the device. A GPU goes on with what it has to do meanwhile: a
        copy from ordinary memory would wait until that is done."""
        if self.device != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


def detect(precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto") -> Hardware:
    """The device and the number format to use.

    Raises:
        DeviceError: when the recipe asks for a format the hardware lacks. A T4 has no bf16,
            whatever `torch.cuda.is_bf16_supported()` says (it counts emulation).
    """
    # read by oneDNN at its first product; who has set them knows better
    for name, count in KERNELS_KEPT.items():
        os.environ.setdefault(name, count)
    import torch

    # `accelerate launch --cpu` says so, and would put the model on the processor
    to_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    if torch.cuda.is_available() and not to_cpu:
        capability = torch.cuda.get_device_capability()
        return Hardware("cuda", choose(precision, bf16_supported(capability), "fp16"))
    return Hardware("cpu", choose(precision, cpu_has_bf16(), "fp32"))


def choose(
    asked: Literal["auto", "bf16", "fp16", "fp32"], has_bf16: bool, otherwise: Precision
) -> Precision:
    """The format for `asked` on hardware with or without bf16. Raises `DeviceError`."""
    if asked == "auto":
        return "bf16" if has_bf16 else otherwise
    if asked == "bf16" and not has_bf16 and otherwise == "fp16":
        raise DeviceError("train.precision: bf16, but this GPU has none; use auto, fp16 or fp32")
    if asked == "fp16" and otherwise == "fp32":
        raise DeviceError("train.precision: fp16 needs a GPU; use auto, bf16 or fp32")
    return asked


def glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc, which can be told what becomes of freed memory."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


def used_cuda() -> Any:
    """torch.cuda, where this process has used it; asking before would load torch, or take a card's
    memory."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def trim_heap() -> None:
    """What was freed, to the system: glibc keeps it in pieces that the next pass, of other lengths,
    does not fit into."""
    if (libc := glibc()) is not None:
        libc.malloc_trim(0)


def give_back() -> None:
    """What was let go of, to the system and to the GPU: a Trainer holds its model in a cycle."""
    gc.collect()
    trim_heap()
    if (cuda := used_cuda()) is not None:
        cuda.empty_cache()


_FULL_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED", re.I
)


def full_memory(error: BaseException) -> bool:
    """Whether this is what torch, a CUDA library or Python raises when memory is full."""
    return isinstance(error, MemoryError) or bool(_FULL_MEMORY.search(str(error)))


Doing = Literal["adapt", "train", "evaluate"]


@contextmanager
def enough_memory(recipe: Recipe, doing: Doing) -> Iterator[None]:
    """Turn what torch raises when memory is full into a `DeviceError` that says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not full_memory(error):
            raise
        first = (str(error).strip().splitlines() or ["memory is full"])[0][:160]
        changes = smaller(recipe, doing)
        raise DeviceError(
            f"{doing}: out of memory ({first}); set {', or '.join(changes)}"
        ) from error


def smaller(recipe: Recipe, doing: Doing) -> list[str]:
    """Overrides that take less memory, the ones that change the result least first."""
    changes = list({"adapt": _adapting, "train": _training, "evaluate": _evaluating}[doing](recipe))
    less = {"none": "8bit", "8bit": "4bit"}.get(recipe.base.quantization)
    if less is not None:
        changes.append(f"base.quantization={less}")
    # other lines are cut for adaptation than for the task
    if doing == "adapt":
        changes += _halved("adapt.max_tokens", recipe.adapt.max_tokens if recipe.adapt else 0, 32)
    else:
        changes += _halved("train.max_tokens", recipe.train.max_tokens, 32)
    return [*changes, "base.name to a smaller base (`lowres ls bases`)"]


def _halved(key: str, now: int, least: int) -> list[str]:
    return [f"{key}={max(least, now // 2)}"] if now > least else []


def _adapting(recipe: Recipe) -> Iterator[str]:
    assert recipe.adapt is not None, "it adapts"
    yield from _halved("adapt.batch", recipe.adapt.batch, 2)


def _training(recipe: Recipe) -> Iterator[str]:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    share = recipe.train.batch // processes
    asked = recipe.train.micro_batch
    micro = asked if isinstance(asked, int) else share
    halves = [n for n in range(1, micro // 2 + 1) if share % n == 0]
    # one process alone has tried that by itself
    if halves and processes > 1:
        yield f"train.micro_batch={halves[-1]} (the effective batch stays)"
    if not recipe.train.gradient_checkpointing:
        yield "train.gradient_checkpointing=true"


def _evaluating(recipe: Recipe) -> Iterator[str]:
    yield from _halved("evaluate.batch_tokens", recipe.evaluate.batch_tokens, 64)
