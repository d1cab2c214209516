"""Attention with dropout on a processor, whose masks are drawn as `dropout.py` draws them.

With dropout in its weights torch has no fast kernel for a CPU: it makes the weights as a whole, and
draws their mask one number at a time. Anywhere else, and without dropout, this is transformers'
own `sdpa`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from lowres.dropout import dropped

NAME = "lowres_sdpa"
"""As `attn_implementation` names it, once `register` was called."""


def register() -> str:
    """Make it known to transformers; returns its name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, forward)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    return NAME


def forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **known: Any,
) -> tuple[torch.Tensor, None]:
    """As `transformers.integrations.sdpa_attention.sdpa_attention_forward`.

    Args:
        module: the attention layer.
        query: [batch, heads, tokens, width], as `key` and `value`.
        key: see `query`.
        value: see `query`.
        attention_mask: True, or 0, where a token is looked at; None for everywhere.
        dropout: share of the weights that is dropped.
        scaling: of the products; by default 1 / sqrt(width).
        known: what else transformers' own takes.

    Returns:
        [batch, tokens, heads, width], and no weights.
    """
    plain = not known.get("is_causal") and query.shape == key.shape == value.shape
    if query.device.type != "cpu" or dropout == 0.0 or not plain:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **known
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    products = (query * scale) @ key.transpose(-1, -2)
    weights = functional.softmax(_masked(products, attention_mask), dim=-1)
    weights = dropped(weights.to(value.dtype), dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None


def _masked(products: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return products
    if mask.dtype == torch.bool:
        return products.masked_fill(~mask, float("-inf"))
    return products + mask
