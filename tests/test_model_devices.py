"""Loading on a GPU: fakes where torch asks the driver, and one test on a real one."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_study
import torch
from tiny_study import CPU

from lowres import bases, lora, model, registry
from lowres.errors import DeviceError
from lowres.hardware import Hardware, detect
from lowres.recipe import Base, Lora

LABELS = ("a", "b", "c")
TAGGING = registry.module("tasks", "tagging").Options(name="tagging")


@pytest.fixture
def gpu(monkeypatch):
    """`gpu((7, 5))`: torch believes in a GPU of that compute capability."""

    def pretend(capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)

    return pretend


@pytest.mark.parametrize(
    ("capability", "asked", "precision"),
    [
        ((7, 5), "auto", "fp16"),
        ((7, 5), "fp32", "fp32"),
        ((8, 0), "auto", "bf16"),
        ((9, 0), "fp16", "fp16"),
    ],
)
def test_precision_by_what_the_gpu_can_do(gpu, capability, asked, precision):
    gpu(capability)
    assert detect(asked) == Hardware("cuda", precision)


def test_a_t4_has_no_bf16_whatever_torch_says(gpu):
    gpu((7, 5))
    with pytest.raises(DeviceError, match="this GPU has none"):
        detect("bf16")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)],
)
def test_what_a_gpu_is_asked_to_load(gpu, monkeypatch, tiny_base, precision, dtype):
    from transformers import BertForTokenClassification

    gpu((8, 0))
    asked: dict[str, Any] = {}

    def from_pretrained(path: None, **known: Any) -> None:
        asked.update(known)
        raise ImportError("bitsandbytes is not installed\nand more")

    monkeypatch.setattr(BertForTokenClassification, "from_pretrained", from_pretrained)
    with pytest.raises(DeviceError, match=r"4bit: .* \(bitsandbytes is not installed\); set base"):
        model.load_base(
            bases.locate(str(tiny_base)),
            Base(name="x", quantization="4bit"),
            TAGGING,
            LABELS,
            Hardware("cuda", precision),
        )
    assert asked["dtype"] is dtype
    assert asked["device_map"] == {"": 1}
    # tensors that are read one by one, none as a whole
    assert not any(isinstance(value, torch.Tensor) for value in asked["state_dict"].values())
    config = asked["quantization_config"]
    assert config.load_in_4bit
    assert config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype is dtype
    assert config.llm_int8_skip_modules == ["classifier"]


def test_8bit_and_float_on_a_gpu():
    eight = model.quantization_config(
        "8bit", ("classifier", "bert.pooler"), Hardware("cuda", "fp16")
    )
    assert eight.load_in_8bit
    assert eight.llm_int8_skip_modules == ["classifier", "bert.pooler"]
    assert model.quantization_config("none", (), Hardware("cuda", "fp16")) is None
    assert model.float_type("none", Hardware("cuda", "bf16")) is torch.float32
    assert model.float_type("8bit", CPU) is torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_few_steps_on_a_real_gpu(tmp_path, tiny_tokenizer, quantization):
    folder = tiny_study.base("bert", tiny_tokenizer, tmp_path)
    machine = detect()
    located = bases.locate(str(folder))
    options = Base(name=str(folder), quantization=quantization)
    base = model.load_base(located, options, TAGGING, LABELS, machine)
    network = lora.attach(base, Lora(rank=4), TAGGING, located.name)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    words = torch.arange(30, 62, device="cuda").reshape(4, 8)
    losses = []
    for _ in range(5):
        with machine.autocast():
            answers = network(input_ids=words).logits.float()
        loss = torch.nn.functional.cross_entropy(answers.flatten(0, -2), words.flatten() % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
