"""What the layers of a loaded base keep for the backward pass."""

from __future__ import annotations

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
