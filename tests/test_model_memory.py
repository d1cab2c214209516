"""What the layers of a loaded base keep for the backward pass."""

from __future__ import annotations

import copy

import pytest
import torch
from bitsandbytes.nn.modules import Linear8bitLt
from test_model import attached, task_options


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_frozen_8_bit_layer_keeps_no_input_and_has_the_same_gradients(tiny_base, checkpointing):
    def gradients(kept: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        options = task_options("classification")
        network = attached(tiny_base, options, "8bit")
        if checkpointing:
            network.activation_checkpointing_enable({"use_reentrant": False})
        nodes = []
        for module in network.modules():
            if isinstance(module, Linear8bitLt):
                if kept:
                    module._forward_hooks.clear()
                module.register_forward_hook(lambda m, i, out: nodes.append(out.grad_fn))
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        ids = torch.tensor([[2, 5, 9, 11, 3], [2, 8, 7, 6, 3]])
        found = network(input_ids=ids, labels=torch.tensor([0, 1]))
        held = [node.A is not None for node in nodes if hasattr(node, "A")]
        assert len(held) >= 6
        assert all(held) if kept else not any(held)
        found.loss.backward()
        return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}

    expected, found = gradients(True), gradients(False)
    assert any("lora_" in name for name in found)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def layer_8_bit(base):
    """A settled 8-bit layer with a bias, of a loaded base in training mode."""
    network = attached(base, task_options("classification"), "8bit")
    network.train()
    return next(m for m in network.modules() if isinstance(m, Linear8bitLt) and m.bias is not None)


@pytest.mark.parametrize("training", [True, False])
def test_an_8_bit_layer_multiplies_in_the_format_of_autocast(tiny_base, training):
    layer = layer_8_bit(tiny_base).train(training)
    bare = copy.deepcopy(layer)
    bare._forward_pre_hooks.clear()
    bare._forward_hooks.clear()
    # what bf16 does not hold
    for each in (layer, bare):
        each.bias.data.fill_(1 / 3)
    bias = layer.bias.detach().clone()
    torch.manual_seed(0)
    given = torch.randn(2, 5, layer.in_features)
    weigh = torch.randn(2, 5, layer.out_features)
    answers, gradients = [], []
    for each in (layer, bare):
        x = given.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = each(x)
        (out.float() * weigh).sum().backward()
        answers.append(out)
        gradients.append(x.grad)
    assert torch.equal(*answers)
    assert torch.equal(layer.bias, bias)
    assert layer.bias.dtype == torch.float32
    scale = gradients[1].abs().max()
    torch.testing.assert_close(gradients[0] / scale, gradients[1] / scale, atol=1e-2, rtol=0)
    # in training by bf16 products, else as ever
    assert torch.equal(*gradients) != training
    # without autocast nothing is cast
    assert torch.equal(layer(given), bare(given))


def test_a_pass_that_breaks_off_leaves_the_bias_whole(tiny_base):
    layer = layer_8_bit(tiny_base)
    layer.bias.data.fill_(1 / 3)
    bias = layer.bias.detach().clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(RuntimeError):
            layer(torch.randn(2, layer.in_features + 1))
        layer(torch.randn(2, layer.in_features))
    assert torch.equal(layer.bias, bias)
