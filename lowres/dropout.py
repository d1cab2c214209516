"""Dropout on a processor, at a fifth of the time.

torch draws a CPU's masks one number at a time: with LoRA, which drops the input of every linear
layer, a quarter of a training step of e5-small goes into that (docs/performance.md). Here a seed is
drawn from torch's generator and the mask from SFC64 in one go, so that what is seeded, resumed or
checkpointed gives the same masks as ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

_LEVELS = 2**16


class Dropout(nn.Dropout):
    """`nn.Dropout` (Srivastava et al. 2014) that is fast on a CPU; elsewhere it is torch's own.

    The probability is rounded to a multiple of 2^-16. Between the passes one byte an element is
    kept, where torch keeps a mask of the input's type.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As `nn.Dropout`."""
        drops = self.training and 0.0 < self.p < 1.0
        if not drops or input.device.type != "cpu" or self.inplace:
            return super().forward(input)
        return dropped(input, self.p)


def dropped(x: torch.Tensor, p: float) -> torch.Tensor:
    """A tensor of a CPU with a share `p` of it dropped, 0 < p < 1, the rest scaled up."""
    kept: torch.Tensor = _Masked.apply(x, mask(x.shape, p), 1.0 / (1.0 - p))
    return kept


def mask(shape: torch.Size, p: float) -> torch.Tensor:
    """A bool tensor, False with probability `p`; the seed is torch's next number."""
    seed = int(torch.randint(2**62, ()))
    count = shape.numel()
    drawn = np.random.SFC64(seed).random_raw(-(-count // 4))
    kept = drawn.view(np.uint16)[:count] >= round(p * _LEVELS)
    return torch.from_numpy(kept).view(shape)


class _Masked(torch.autograd.Function):
    """x * mask * scale."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return (x * kept).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (kept,) = ctx.saved_tensors
        return (grads[0] * kept).mul_(ctx.scale), None, None


def quicken(network: nn.Module) -> None:
    """Exchange every `nn.Dropout` in a network, in place."""
    for module in network.modules():
        if type(module) is nn.Dropout:
            # the same object: peft and transformers hold on to it in lists and dictionaries
            module.__class__ = Dropout
