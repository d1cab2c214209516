from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language
import torch
from safetensors.torch import load_file, save_file
from tiny_language import LABELS, SENTENCES, task_options
from typer.testing import CliRunner, Result

from lowres import adapter_files, merge, merge_source, model, onnx_export, quiet, stacking
from lowres.cli import app
from lowres.errors import RunError

TASKS = ("classification", "tagging")
FAMILIES = ("bert", "xlm-roberta", "roberta")
OTHERS = ("distilbert", "modernbert", "deberta-v2")
"""With the tokenizer of the tiny BERT: their layers, tables and inputs have other names."""
CASES = [(kind, task) for kind in (*FAMILIES, *OTHERS) for task in TASKS]
EXPORTED = CASES[: len(FAMILIES) * len(TASKS)] + [(kind, "tagging") for kind in OTHERS]
"""Each takes seconds."""
HAS_ONNX = all(importlib.util.find_spec(name) for name in onnx_export.PACKAGES)

LOAD = """
import json, sys
import numpy as np

# as if they were not installed
sys.modules["lowres"] = sys.modules["peft"] = None
import torch, transformers

for folder in sys.argv[2:]:
    auto = "Token" if "tagging" in folder else "Sequence"
    auto = getattr(transformers, f"AutoModelFor{auto}Classification")
    network, said = auto.from_pretrained(folder, output_loading_info=True)
    assert not said["missing_keys"] and not said["unexpected_keys"], said
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(json.loads(sys.argv[1]), padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = network.eval()(**inputs).logits
    labels = [network.config.id2label[i] for i in range(logits.shape[-1])]
    np.savez(f"{folder}.npz", ids=inputs["input_ids"], logits=logits, labels=labels)
assert sys.modules["lowres"] is sys.modules["peft"] is None
"""


@pytest.fixture(scope="module")
def located(tiny_base, tiny_unigram_base, tiny_bpe_base, tiny_tokenizer, tmp_path_factory):
    bases = {"bert": tiny_base, "xlm-roberta": tiny_unigram_base, "roberta": tiny_bpe_base}
    return tiny_language.Languages(tmp_path_factory.mktemp("languages"), bases, tiny_tokenizer)


def saved(under: Any, task: str, folder: Path, quantization: str = "none", **lora: Any) -> Path:
    """A task adapter over what lies under it, as a run saves it."""
    options = task_options(task)
    network = tiny_language.attached(under, options, quantization, **lora)
    adapter_files.save_adapter(network, folder, under, options, LABELS, 24, quantization)
    return folder


def said_by_adapter(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids and logits of the sentences, by lowres over the float base."""
    source = merge_source.load(folder, allow_pickle=False)
    inputs = source.tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        return inputs["input_ids"].numpy(), source.network(**inputs).logits.numpy()


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["merge", *map(str, words)])


def refused(expected: str, *words: object) -> None:
    """One line, exit status 2, and nothing written."""
    out = Path(str(words[1]))
    before = sorted(out.parent.iterdir())
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert sorted(out.parent.iterdir()) == before


@pytest.fixture(scope="module")
def adapters(located, tmp_path_factory):
    """`adapters(kind, task)`: over new pieces and a language adapter."""
    folder = tmp_path_factory.mktemp("adapters")

    def make(kind: str, task: str) -> Path:
        path = folder / f"{kind}-{task}"
        return path if path.is_dir() else saved(located(kind), task, path)

    return make


def test_transformers_alone_answers_as_the_adapter_did(adapters, tmp_path):
    """In a process without lowres and peft: new pieces, language adapter, head, labels."""
    folders = [adapters(*case) for case in CASES]
    outs = [tmp_path / folder.name for folder in folders]
    for folder, out in zip(folders, outs, strict=True):
        found = merge.merge(folder, out)
        assert found.widest <= merge.TOLERANCE
        assert (found.probes, found.agreeing, found.notes) == (16, None, ())
        assert {f.name for f in out.iterdir()} >= {"config.json", "model.safetensors"}
    assert not list(tmp_path.glob(".*")), "no temporary folder is left"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LOAD, json.dumps(SENTENCES), *outs],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for folder, out in zip(folders, outs, strict=True):
        ids, logits = said_by_adapter(folder)
        plain = np.load(f"{out}.npz")
        np.testing.assert_array_equal(plain["ids"], ids, err_msg=out.name)
        np.testing.assert_allclose(plain["logits"], logits, atol=1e-5, rtol=0, err_msg=out.name)
        assert tuple(plain["labels"]) == LABELS


@pytest.mark.parametrize("kind", FAMILIES)
def test_new_rows_stand_in_the_table_and_heads_stay_tied(adapters, located, tmp_path, kind):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    merge.merge(adapters(kind, "tagging"), tmp_path / "out")
    rows, first = stacking.rows_under(None, stacking.read(Path(located(kind).language)))
    whole = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    table = whole.get_input_embeddings().weight
    assert whole.get_output_embeddings().weight is table
    torch.testing.assert_close(table[first : first + len(rows)], rows, atol=0, rtol=0)
    old = torch.from_numpy(model.embedding_table(located(kind).plain()))
    torch.testing.assert_close(table[:first], old[:first], atol=0, rtol=0)
    assert len(table) == whole.config.vocab_size == max(len(old), first + len(rows))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) <= len(table)
    state = json.loads((tmp_path / "out" / "tokenizer.json").read_text(encoding="utf-8"))
    assert (state["truncation"], state["padding"]) == (None, None)


def test_pairs_are_asked_as_pairs(located, tmp_path):
    folder = saved(located("bert"), "pairs", tmp_path / "adapter")
    source = merge_source.load(folder, allow_pickle=False)
    asked = merge._encoded(["One."], source.tokenizer, source)
    assert asked[0]["token_type_ids"].max() == 1
    assert merge.merge(folder, tmp_path / "out").widest <= merge.TOLERANCE


@pytest.mark.parametrize("lora", [{"dora": True}, {"rslora": True}, {"targets": ["query"]}])
def test_other_kinds_of_lora_are_merged_exactly(located, tmp_path, lora):
    folder = saved(located("bert").plain(), "classification", tmp_path / "adapter", **lora)
    assert merge.merge(folder, tmp_path / "out").widest <= 1e-6


def test_over_8_bit_it_is_merged_into_the_float_base(located, tmp_path):
    folder = saved(located("xlm-roberta"), "classification", tmp_path / "adapter", "8bit")
    done = call(folder, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "in 8bit, merged into the float one: the same labels on 16 of 16" in done.stdout
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def run_folder(located, folder: Path) -> Path:
    """A run that made one adapter for all languages, and one for Nuer."""
    own = replace(located("bert"), language=None)
    own = tiny_language.adapt(own, folder / "own", rank=2, seed=7)
    under = replace(located("bert"), per_language=(("nus_Latn", str(own.language)),))
    run = folder / "run"
    saved(under, "classification", run / "train" / "1" / "adapter")
    manifest = {"notes": {"status": "ok", "dev": 0.5}}
    (run / "train" / "1" / "manifest.json").write_text(json.dumps(manifest))
    return run


def test_a_run_with_an_adapter_a_language_must_be_told_which(located, tmp_path):
    from transformers import AutoModelForSequenceClassification

    run = run_folder(located, tmp_path)
    refused("an adapter each for nus_Latn", run, tmp_path / "out")
    refused("there are: nus_Latn", run, tmp_path / "out", "--language", "swh_Latn")
    refused("did you mean", run, tmp_path / "out", "--language", "nus_Latin")
    common = run / "train" / "1" / "adapter"
    for name, words in (("own", [run, "--language", "nus_Latn"]), ("common", [common])):
        done = call(words[0], tmp_path / name / "out", *words[1:])
        assert done.exit_code == 0, done.output
        folder = adapter_files.of(common, "nus_Latn") if name == "own" else common
        ids, logits = said_by_adapter(folder)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / name / "out")
        ids = torch.from_numpy(ids)
        found = tiny_language.logits(plain, ids, plain.config.pad_token_id)
        np.testing.assert_allclose(found, logits, atol=1e-5, rtol=0)
    alone = shutil.copytree(common, tmp_path / "alone" / "adapter")
    refused("has one for all", alone, tmp_path / "out", "--language", "nus_Latn")


def test_nothing_is_written_over(adapters, tmp_path):
    folder = adapters("bert", "tagging")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    refused("exists already", folder, out)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    assert call(folder, out).exit_code == 0
    refused("no adapter here", tmp_path / "nowhere", tmp_path / "other")


def test_a_model_that_answers_otherwise_is_not_kept(adapters, tmp_path, monkeypatch):
    whole = merge._plain

    def damaged(network: Any, folder: Path) -> Any:
        merged = whole(network, folder)
        merged.classifier.bias.data += 1e-3
        return merged

    monkeypatch.setattr(merge, "_plain", damaged)
    refused("logits differ", adapters("bert", "tagging"), tmp_path / "out")


def test_weights_that_are_not_finite_are_refused(adapters, tmp_path):
    folder = shutil.copytree(adapters("bert", "tagging"), tmp_path / "adapter")
    weights = load_file(folder / stacking.WEIGHTS)
    key = next(key for key in weights if ".lora_B." in key)
    weights[key] = torch.full_like(weights[key], float("nan"))
    save_file(weights, folder / stacking.WEIGHTS, metadata={"format": "pt"})
    refused("cannot be merged", folder, tmp_path / "out")


def test_a_full_disk_leaves_nothing(adapters, tmp_path, monkeypatch):
    from transformers import PreTrainedModel

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    refused("cannot be written", adapters("bert", "tagging"), tmp_path / "out")


def of_peft(base: Path, folder: Path, task_type: str = "SEQ_CLS", **settings: Any) -> Path:
    """What a script with peft alone saves."""
    import transformers
    from peft import LoraConfig, get_peft_model

    kind = {"SEQ_CLS": "Sequence", "TOKEN_CLS": "Token"}.get(task_type, "Sequence")
    auto = getattr(transformers, f"AutoModelFor{kind}Classification")
    torch.manual_seed(3)
    network = auto.from_pretrained(base, num_labels=5)
    rows = settings.pop("resized", None)
    if rows is not None:
        network.resize_token_embeddings(rows, mean_resizing=False)
    config = settings.pop("config", None)
    targets = {"target_modules": ["query", "value"], **settings}
    with quiet.peft():
        config = config or LoraConfig(task_type=task_type, r=3, **targets)
        made = get_peft_model(network, config)
    tiny_language.fill(made)
    made.save_pretrained(str(folder), save_embedding_layers=rows is not None)
    return folder


@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS"])
@pytest.mark.parametrize("resized", [None, 450])
@pytest.mark.parametrize("tokens", [None, [5, 6, 40]])
def test_an_adapter_of_another_script(tiny_unigram_base, tmp_path, task_type, resized, tokens):
    settings = {"resized": resized, "trainable_token_indices": tokens}
    folder = of_peft(tiny_unigram_base, tmp_path / "adapter", task_type, **settings)
    found = merge.merge(folder, tmp_path / "out")
    assert found.widest <= merge.TOLERANCE
    assert "LABEL_0" in found.notes[0]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {str(index): f"LABEL_{index}" for index in range(5)}
    assert resized is None or config["vocab_size"] == resized


def test_what_cannot_be_merged_is_said(tiny_base, tiny_unigram_base, tmp_path):
    from peft import PromptTuningConfig

    out = tmp_path / "out"
    settings: dict[str, Any] = {"task_type": "SEQ_CLS", "num_virtual_tokens": 2}
    prompt = of_peft(tiny_base, tmp_path / "prompt", config=PromptTuningConfig(**settings))
    language = of_peft(tiny_base, tmp_path / "language", "FEATURE_EXTRACTION")
    refused("task_type FEATURE_EXTRACTION", language, out)
    folder = of_peft(tiny_unigram_base, tmp_path / "headless")
    weights = load_file(folder / stacking.WEIGHTS)
    for part, expected in (
        ("out_proj.weight", "no trained head"),
        ("dense.bias", "is lost"),
        ("query.lora_B.weight", "is not whole"),
    ):
        kept = {key: value for key, value in weights.items() if not key.endswith(part)}
        assert len(kept) < len(weights)
        save_file(kept, folder / stacking.WEIGHTS)
        refused(expected, folder, out)
    (folder / stacking.WEIGHTS).write_bytes(b"torn")
    refused("cannot be read", folder, out)
    refused("cannot be merged", prompt, out)


def test_without_its_packages_onnx_says_how_to_get_them(adapters, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    folder = adapters("bert", "tagging")
    refused("pip install onnx onnxscript onnxruntime", folder, tmp_path / "out", "--onnx")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="no onnx, onnxscript, onnxruntime: pip install them")
@pytest.mark.parametrize(("kind", "task"), EXPORTED)
def test_onnxruntime_answers_as_torch(adapters, tmp_path, kind, task):
    done = call(adapters(kind, task), tmp_path / "out", "--onnx")
    assert done.exit_code == 0, done.output
    assert ("token_type_ids" in done.stdout) == (kind == "bert")
    import onnxruntime
    from transformers import AutoTokenizer

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    _, logits = said_by_adapter(adapters(kind, task))
    inputs = dict(tokenizer(list(SENTENCES), padding=True, return_tensors="np"))
    (found,) = session.run(None, inputs)
    kept = inputs["attention_mask"].astype(bool) if task == "tagging" else slice(None)
    np.testing.assert_allclose(found[kept], logits[kept], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="no onnx, onnxscript, onnxruntime: pip install them")
@pytest.mark.parametrize(
    ("change", "expected"),
    [("TOLERANCE", "logits of onnxruntime differ"), ("torch", "torch cannot export")],
)
def test_an_export_that_fails_leaves_nothing(adapters, tmp_path, monkeypatch, change, expected):
    if change == "TOLERANCE":
        monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    else:

        def fails(*_: Any, **__: Any) -> None:
            raise ValueError("an operator\nthat is not there")

        monkeypatch.setattr(torch.onnx, "export", fails)
    refused(expected, adapters("bert", "classification"), tmp_path / "out", "--onnx")


def test_tolerances_are_the_ones_the_page_says(repository):
    page = (repository / "docs" / "how-to" / "use-an-adapter.md").read_text(encoding="utf-8")
    assert f"{merge.TOLERANCE:.5f}" in page
    assert f"{onnx_export.TOLERANCE:.4f}" in page


def test_no_head_is_made_up(tmp_path):
    (tmp_path / stacking.CONFIG).write_text(
        json.dumps({"task_type": "SEQ_CLS", "peft_type": "LORA"})
    )
    with pytest.raises(RunError, match="base None"):
        merge_source.load(tmp_path, allow_pickle=False)
