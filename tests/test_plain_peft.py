from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_adapter import of_peft_alone

from lowres import plain_peft, predict, quiet, stacking
from lowres.errors import RunError

TEXTS = ["The teacher opened the window.", "", "soko liko wapi"]


@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS"])
def test_it_answers_and_says_what_it_cannot_know(tiny_unigram_base, tmp_path, task_type):
    adapter = predict.load(of_peft_alone(tmp_path / "a", tiny_unigram_base, task_type))
    (note,) = adapter.notes
    for unknown in ("labels' names", "several", "how long", "quantised", "windows of 128"):
        assert unknown in note
    assert adapter.labels == tuple(f"LABEL_{index}" for index in range(5))
    answers = adapter.predict(TEXTS)
    said = [answer.answer for answer in answers]
    if task_type == "TOKEN_CLS":
        assert [len(tags) for tags in said] == [5, 0, 3]
        # LABEL_0 may mean anything
        assert all(answer.entities is None for answer in answers)
    else:
        assert set(said) <= set(adapter.labels)


def test_it_answers_as_peft_itself(tiny_unigram_base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = of_peft_alone(tmp_path / "a", tiny_unigram_base, "SEQ_CLS")
    base = AutoModelForSequenceClassification.from_pretrained(tiny_unigram_base, num_labels=5)
    with quiet.peft():
        network = PeftModel.from_pretrained(base, str(folder)).eval()
    inputs = AutoTokenizer.from_pretrained(tiny_unigram_base)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = network(**inputs).logits.softmax(-1)[0].numpy()
    (answer,) = predict.load(folder).predict([TEXTS[0]], every=True)
    # half precision on a processor that has it
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=5e-3)


def test_what_cannot_be_used_is_said(tiny_base, tmp_path):
    from peft import PromptTuningConfig

    prompt = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)
    folder = of_peft_alone(tmp_path / "prompt", tiny_base, "SEQ_CLS", prompt)
    with pytest.raises(RunError, match="cannot be used: PROMPT_TUNING"):
        predict.load(folder)
    folder = of_peft_alone(tmp_path / "plain", tiny_base, "SEQ_CLS")
    for change, says in (
        ({"task_type": "CAUSAL_LM"}, "task_type CAUSAL_LM"),
        ({"base_model_name_or_path": None}, "base None"),
    ):
        copy = shutil.copytree(folder, tmp_path / says)
        config = json.loads((copy / stacking.CONFIG).read_text(encoding="utf-8"))
        (copy / stacking.CONFIG).write_text(json.dumps(config | change), encoding="utf-8")
        with pytest.raises(RunError, match=f"{says}.*no labels.json"):
            predict.load(copy)
    weights = folder / stacking.WEIGHTS
    weights.rename(folder / "adapter_model.bin")
    with pytest.raises(RunError, match="pickled"):
        predict.load(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(RunError, match="incomplete"):
        predict.load(folder)
    weights.write_bytes(b"torn")
    with pytest.raises(RunError, match="cannot be read"):
        predict.load(folder)


def test_windows_are_no_longer_than_the_base(tiny_base, tmp_path):
    from lowres.hardware import Hardware

    folder = of_peft_alone(tmp_path / "a", tiny_base, "SEQ_CLS")
    found = plain_peft.load(folder, Hardware("cpu", "fp32"), "none", False, "used")
    assert plain_peft.longest(found, 512) == 128
    assert plain_peft.longest(found, 64) == 64
