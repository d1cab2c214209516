"""What this machine computes with: device and number format, by capability and not by claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lowres.doctor import bf16_supported, cpu_has_bf16
from lowres.errors import DeviceError

if TYPE_CHECKING:
    import torch

Precision = Literal["bf16", "fp16", "fp32"]


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


def detect(precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto") -> Hardware:
    """The device and the number format to use.

    Raises:
        DeviceError: when the recipe asks for a format the hardware lacks. A T4 has no bf16,
            whatever `torch.cuda.is_bf16_supported()` says (it counts emulation).
    """
    import torch

    if torch.cuda.is_available():
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
