from __future__ import annotations

import pytest
import torch
from torch import nn

from lowres import attention, dropout

SHAPE = (2, 3, 5, 8)
"""Batch, heads, tokens, width."""


def inputs(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(SHAPE, requires_grad=True) for _ in range(3)]


def masks() -> dict[str, torch.Tensor | None]:
    seen = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    seen[1, :, :, 3:] = False
    added = torch.zeros(2, 1, 5, 5).masked_fill(~seen, torch.finfo(torch.float32).min)
    return {"none": None, "bool": seen, "added": added}


def by_torch(parts: list[torch.Tensor], mask: torch.Tensor | None) -> torch.Tensor:
    out = nn.functional.scaled_dot_product_attention(*parts, attn_mask=mask)
    return out.transpose(1, 2)


@pytest.mark.parametrize("mask", masks().values(), ids=masks())
def test_without_what_is_dropped_it_is_torchs_own(monkeypatch, mask):
    # all kept, and not scaled up: dropout's own share is test_dropout's
    monkeypatch.setattr(dropout, "mask", lambda shape, p: torch.ones(shape, dtype=torch.bool))
    share = 2**-20
    ours, theirs = inputs(), inputs()
    module = nn.Module()
    found, weights = attention.forward(module, *ours, mask, dropout=share)
    assert weights is None
    expected = by_torch(theirs, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_weights_are_dropped_and_the_mean_stays():
    parts = inputs()
    torch.manual_seed(1)
    module = nn.Module()
    draws = torch.stack(
        [attention.forward(module, *parts, None, dropout=0.3)[0].detach() for _ in range(3000)]
    )
    assert not torch.equal(draws[0], draws[1])
    expected = by_torch(parts, None).detach()
    errors = draws.std(dim=0) / 3000**0.5
    assert ((draws.mean(dim=0) - expected).abs() < 6 * errors + 1e-4).all()


def test_evaluation_goes_to_transformers_own(monkeypatch):
    asked = []

    def own(*given, **known):
        asked.append(known)
        return "out", None

    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", own)
    module = nn.Module()
    assert attention.forward(module, *inputs(), None, scaling=0.5) == ("out", None)
    assert attention.forward(module, *inputs(), None, dropout=0.1, is_causal=True)[0] == "out"
    assert asked[0] == {"dropout": 0.0, "scaling": 0.5}


def test_a_loaded_base_has_it(tiny_base):
    from tiny_study import CPU

    from lowres import model
    from lowres.bases import locate
    from lowres.recipe import Base

    base = Base(name="base", quantization="none")
    encoder, _ = model.load_encoder(locate(str(tiny_base)), base, CPU, masked_lm=False)
    assert encoder.config._attn_implementation == attention.NAME
