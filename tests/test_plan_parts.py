"""What `lowres plan` adds up: shapes of bases, cards, and sizes from them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lowres import cards, footprint, shapes
from lowres.errors import DeviceError
from lowres.recipe import Train

MILLIONS = {
    "e5-small": 118,
    "xlm-roberta-base": 278,
    "xlm-roberta-large": 560,
    "bert-base-multilingual-cased": 178,
    "distilbert-base-multilingual-cased": 135,
    "mmBERT-base": 307,
    "mmBERT-small": 140,
    "LaBSE": 471,
    "minilm-en": 22.7,
}
"""Parameters, as their cards say."""


class TestShapes:
    """The table of known bases, and config.json in all its dialects."""

    @pytest.mark.parametrize("name", MILLIONS)
    def test_parameters_are_the_published_ones(self, name: str) -> None:
        assert shapes.KNOWN[name].parameters / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)

    def test_known_names_are_bases(self) -> None:
        from lowres.bases import ROWS

        assert {shape.architecture for shape in shapes.KNOWN.values()} == {
            ROWS[name].architecture for name in shapes.KNOWN
        }

    @pytest.mark.parametrize(
        "model_type",
        ["albert", "bert", "deberta-v2", "distilbert", "modernbert", "mpnet", "xlm-roberta"],
    )
    def test_a_config_gives_the_size_of_its_model(self, model_type: str) -> None:
        import torch
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.for_model(model_type, pad_token_id=0)
        shape = shapes.of_config(config.to_dict())
        with torch.device("meta"):
            model = AutoModel.from_config(config)
        # a pooler is counted with the head, where it has a part in it
        count = sum(p.numel() for name, p in model.named_parameters() if "pooler" not in name)
        assert shape.parameters == pytest.approx(count, rel=0.03)


class TestCards:
    @pytest.mark.parametrize(
        ("asked", "name", "precision"),
        [
            ("T4", "T4", "fp16"),
            ("Tesla T4", "T4", "fp16"),
            ("rtx3060", "RTX 3060", "bf16"),
            ("NVIDIA GeForce RTX 3090", "RTX 3090", "bf16"),
            ("a100-80gb", "A100 80GB", "bf16"),
            ("colab", "Colab T4", "fp16"),
            ("Colab T4", "Colab T4", "fp16"),
            ("colab-t4", "Colab T4", "fp16"),
            ("24 GB", "a card of 24 GB", "bf16"),
        ],
    )
    def test_names(self, asked: str, name: str, precision: str) -> None:
        found = cards.place(asked, Train())
        assert (found.name, found.precision) == (name, precision)

    def test_this_card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        monkeypatch.setattr(cards, "_sees_gpu", lambda: True)
        monkeypatch.setattr(cards, "_by_driver", lambda: None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5 * 2**30, 16 * 2**30))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
        found = cards.place(None, Train())
        assert (found.device, found.precision) == ("cuda", "fp16")
        assert found.free_mb == 5 * 1024 + cards.CONTEXT_MB
        assert "of GPU memory" in found.warnings[0]

    T4 = "Tesla T4, 15360, 15101, 7.5, [N/A]"
    BUSY = "Tesla T4, 15360, 6000, 7.5, [N/A]"

    @pytest.mark.parametrize(
        ("said", "visible", "free_mb"),
        [
            ([T4], None, 15101),
            ([T4, BUSY], None, 15101),
            ([T4, BUSY], "1,0", 6000),
            ([T4, "NVIDIA L4, 23034, 22500, 8.9, Disabled"], None, None),
            (["NVIDIA A100, 40960, 40000, 8.0, Enabled"], None, None),
            (["NVIDIA GB10, [N/A], [N/A], 12.1, [N/A]"], None, None),
            ([T4], "", None),
            ([T4], "-1", None),
            ([T4], "1", None),
            ([T4], "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", None),
            (["Failed to initialize NVML: Driver/library version mismatch"], None, None),
            ([], None, None),
        ],
    )
    def test_a_card_by_its_driver(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        said: list[str],
        visible: str | None,
        free_mb: float | None,
    ) -> None:
        lines = "".join(f"echo '{line}'\n" for line in said)
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}")
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        asked_torch = []

        def by_torch(train: Train) -> cards.Place:
            asked_torch.append(True)
            return cards.place("T4", train)

        monkeypatch.setattr(cards, "card_here", by_torch)
        found = cards.place(None, Train())
        assert bool(asked_torch) == (free_mb is None)
        if free_mb is not None:
            assert (found.name, found.free_mb, found.memory_mb) == ("Tesla T4", free_mb, 15360)
            assert (found.precision, found.int8.supported) == ("fp16", True)
            assert ("6,000 MB are free" in "".join(found.warnings)) == (free_mb == 6000)

    def test_a_driver_that_torch_does_not_see(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        monkeypatch.setattr(cards, "_sees_gpu", lambda: True)
        monkeypatch.setattr(cards, "_by_driver", lambda: None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(DeviceError, match="--gpu T4"):
            cards.place(None, Train())


class TestFootprint:
    """Weights against real modules; the rest is what `benchmarks/plan_accuracy.py` measures."""

    SETTING = footprint.Setting(shapes.KNOWN["xlm-roberta-base"], "8bit", "cpu", "bf16")

    def test_weights_by_kind(self) -> None:
        sizes = {
            kind: footprint.weights(replace(self.SETTING, quantization=kind))
            for kind in ("none", "8bit", "4bit")
        }
        assert sizes["4bit"] < sizes["8bit"] < sizes["none"] / 3.8
        assert sizes["none"] == pytest.approx(277.5e6 * 4 / 2**20, rel=0.01)

    def test_lora_is_counted_on_the_layers_it_is_on(self) -> None:
        all_of_it = footprint.trained(self.SETTING)
        # 16 bytes for each of 12 x 16 x (2 x 2 x 768) numbers
        two = footprint.trained(replace(self.SETTING, lora=("query", "value")))
        assert two == 16 * 12 * 16 * 2 * 2 * 768 / 2**20
        assert two < all_of_it

    def test_a_smaller_table_takes_less(self) -> None:
        trimmed = footprint.weights(replace(self.SETTING, table_rows=10_000))
        assert trimmed == pytest.approx(
            footprint.weights(self.SETTING) - (250_002 - 10_000) * 772 / 2**20
        )
