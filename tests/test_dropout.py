from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lowres import dropout
from lowres.dropout import Dropout


def dropped(p: float, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    out: torch.Tensor = Dropout(p).train()(x)
    return out


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_the_share_and_the_scale(p):
    n = 400_000
    out = dropped(p, torch.ones(n))
    kept = out != 0
    # five standard deviations
    assert abs(float((~kept).float().mean()) - p) < 5 * (p * (1 - p) / n) ** 0.5 + 2**-16
    assert torch.allclose(out[kept], torch.tensor(1 / (1 - p)))


def test_neighbours_are_independent():
    kept = (dropped(0.5, torch.ones(400_000)) != 0).float()
    for gap in (1, 2, 3, 4, 8):
        both = float((kept[gap:] * kept[:-gap]).mean())
        assert abs(both - 0.25) < 0.005


def test_the_gradient_is_dropped_where_the_input_was():
    x = torch.randn(7, 11, requires_grad=True)
    out = dropped(0.3, x)
    out.sum().backward()
    assert torch.allclose(x.grad, (out != 0) / 0.7)
    assert torch.allclose(out, x * x.grad)


def test_seeded_by_torch_and_no_two_alike():
    x = torch.ones(1000)
    assert torch.equal(dropped(0.3, x, 1), dropped(0.3, x, 1))
    assert not torch.equal(dropped(0.3, x, 1), dropped(0.3, x, 2))
    torch.manual_seed(0)
    layer = Dropout(0.3)
    assert not torch.equal(layer(x), layer(x))


def test_a_checkpointed_pass_drops_the_same_again():
    layer, x = Dropout(0.5), torch.ones(500, requires_grad=True)
    seen: list[torch.Tensor] = []

    def block(given: torch.Tensor) -> torch.Tensor:
        out = layer(given)
        seen.append(out.detach().clone())
        return out * out

    checkpoint(block, x, use_reentrant=False).sum().backward()
    assert len(seen) == 2
    assert torch.equal(*seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_and_shapes_stay(dtype):
    assert dropped(0.1, torch.ones(3, 5, dtype=dtype)).dtype is dtype
    assert dropped(0.1, torch.ones(0, 5)).shape == (0, 5)
    assert dropped(0.1, torch.ones(1)).shape == (1,)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_as_in_torch(p):
    x = torch.randn(5)
    assert torch.equal(dropped(p, x), nn.functional.dropout(x, p, True))


def test_nothing_is_dropped_in_evaluation():
    x = torch.randn(5)
    assert torch.equal(Dropout(0.5).eval()(x), x)


def test_every_dropout_of_a_network_is_exchanged():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.4)))
    held = network[1]
    dropout.quicken(network)
    assert network[1] is held
    assert [m.p for m in network.modules() if isinstance(m, Dropout)] == [0.2, 0.4]
