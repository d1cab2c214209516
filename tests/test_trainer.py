from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny_study
import torch

from lowres.train import SourceDev
from lowres.trainer import Collate, Loss, SourceTrainer


@pytest.fixture
def base(tiny_tokenizer, tmp_path):
    return tiny_study.base("bert", tiny_tokenizer, tmp_path / "bert")


def test_the_head_and_the_rest_have_rates_of_their_own(base, tmp_path, monkeypatch):
    seen = {}
    create = SourceTrainer.create_optimizer

    def watched(self, model=None):
        optimizer = create(self, model)
        names = {id(p): name for name, p in self.model.named_parameters()}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
        return optimizer

    monkeypatch.setattr(SourceTrainer, "create_optimizer", watched)
    monkeypatch.setattr(SourceDev, "collapsed", lambda *_: False)
    tiny_study.train(tiny_study.recipe(base, train={"steps": 1}, lora={"dora": True}), tmp_path)
    assert seen
    for name, (rate, decay) in seen.items():
        assert rate == (3e-2 if "modules_to_save" in name else 1e-2), name
        undecayed = name.endswith("bias") or "magnitude" in name
        assert decay == (0.0 if undecayed else 0.01), name


def test_a_batch_is_padded_to_its_own_length():
    rows = [{"input_ids": [2, 5, 3], "labels": 1}, {"input_ids": [2, 3], "labels": 0}]
    batch = Collate(pad_id=7)(rows)
    assert batch["input_ids"].tolist() == [[2, 5, 3], [2, 3, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [1, 0]
    tagged = [{**row, "labels": [0] * len(row["input_ids"])} for row in rows]
    assert Collate(7)(tagged)["labels"].tolist() == [[0, 0, 0], [0, 0, -100]]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_a_mean_over_the_whole_batch(smoothing):
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 5, 3), torch.randint(3, (4, 5))
    labels[0, 2:] = -100
    loss, count = Loss(smoothing), labels.ne(-100).sum()
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing
    )
    torch.testing.assert_close(loss(SimpleNamespace(logits=logits), labels, None), expected)
    parts = [
        loss(SimpleNamespace(logits=logits[i : i + 2]), labels[i : i + 2], count) for i in (0, 2)
    ]
    torch.testing.assert_close(sum(parts), expected)


def test_a_batch_without_a_label_has_no_loss():
    nothing = torch.full((2, 3), -100)
    outputs = SimpleNamespace(logits=torch.randn(2, 3, 4))
    assert Loss(0.0)(outputs, nothing, torch.tensor(0)) == 0
