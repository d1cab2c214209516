from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from lowres import hardware
from lowres.errors import DeviceError, RunError
from lowres.hardware import Hardware, choose, detect, enough_memory, smaller
from lowres.recipe_loading import load

ADAPTED = ["text.files={lang}.txt", "adapt.objective=mlm"]


@pytest.mark.parametrize(
    ("asked", "has_bf16", "otherwise", "expected"),
    [
        ("auto", True, "fp16", "bf16"),
        ("auto", False, "fp16", "fp16"),
        ("auto", False, "fp32", "fp32"),
        ("fp32", True, "fp16", "fp32"),
        ("fp16", True, "fp16", "fp16"),
        ("bf16", False, "fp32", "bf16"),  # slow on such a CPU, but right
        ("bf16", False, "fp16", "this GPU has none"),
        ("fp16", False, "fp32", "needs a GPU"),
    ],
)
def test_the_format_is_what_the_hardware_has(asked, has_bf16, otherwise, expected):
    if " " not in expected:
        assert choose(asked, has_bf16, otherwise) == expected
        return
    with pytest.raises(DeviceError, match=expected) as caught:
        choose(asked, has_bf16, otherwise)
    assert "train.precision" in str(caught.value)


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_a_gpu_is_judged_by_its_capability(monkeypatch, capability, expected):
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_capability=lambda: capability,
        is_bf16_supported=lambda: True,  # what torch says of a T4, too
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    assert detect() == Hardware("cuda", expected)


def test_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: False))
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(hardware, "cpu_has_bf16", lambda has=has: has)
        assert detect() == Hardware("cpu", expected)


def test_few_compiled_kernels_are_kept_unless_the_user_says_how_many(monkeypatch):
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    detect()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "64"
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_autocast(precision, dtype):
    a = torch.ones(2, 2)
    with Hardware("cpu", precision).autocast():
        assert (a @ a).dtype == dtype


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …\nmore"
        ),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(
    ("doing", "first"),
    [
        ("adapt", "set adapt.batch=16, or "),
        ("train", "gradient_checkpointing=true"),
        ("evaluate", "2048"),
    ],
)
def test_full_memory_says_what_to_change(error, doing, first):
    def full():
        with enough_memory(load("quickstart", ADAPTED), doing):
            raise error

    with pytest.raises(DeviceError, match=f"^{doing}: out of memory") as caught:
        full()
    assert first in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), RunError("full"), KeyError("a")])
def test_other_errors_pass(error):
    def fail():
        with enough_memory(load("quickstart"), "train"):
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error


def test_what_takes_less_memory_while_adapting():
    """Keys of the task's training do not reach it."""
    changes = ["adapt.batch=2", "base.quantization=4bit", "adapt.max_tokens=64"]
    last = "base.name to a smaller base (`lowres ls bases`)"
    assert smaller(load("quickstart", [*ADAPTED, "adapt.batch=5"]), "adapt") == [*changes, last]
    least = ["adapt.batch=2", "adapt.max_tokens=32", "base.quantization=4bit"]
    assert smaller(load("quickstart", [*ADAPTED, *least]), "adapt") == [last]


def test_what_takes_less_memory(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    recipe = load("quickstart", ["train.batch=24", "train.micro_batch=6", "base.quantization=none"])
    assert smaller(recipe, "train") == [
        "train.micro_batch=3 (the effective batch stays)",
        "train.gradient_checkpointing=true",
        "base.quantization=8bit",
        "train.max_tokens=64",
        "base.name to a smaller base (`lowres ls bases`)",
    ]
    least = load(
        "quickstart",
        [
            *("train.batch=1", "train.gradient_checkpointing=true", "train.max_tokens=32"),
            *("base.quantization=4bit", "evaluate.batch_tokens=64"),
        ],
    )
    for doing in ("train", "evaluate"):
        assert smaller(least, doing) == ["base.name to a smaller base (`lowres ls bases`)"]
