from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_study
import torch
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from safetensors.torch import load_file
from tiny_study import CPU

from lowres import adapter_files, bases, lora, model, registry
from lowres.errors import BaseModelError
from lowres.recipe import Base, Lora

TYPES = (
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "electra",
    "deberta-v2",
    "modernbert",
    "eurobert",
)
TASKS = ("classification", "tagging")
CASES = [(kind, task, "8bit") for kind in TYPES for task in TASKS]
CASES += [("bert", task, "4bit") for task in TASKS]
LABELS = ("a", "b", "c")
WINDOWS = torch.tensor([[2, 30, 41, 52, 63, 3], [2, 35, 44, 3, 0, 0], [2, 70, 81, 12, 3, 0]])
MASK = WINDOWS.ne(0).long()

RELOAD = """
import json, sys
import numpy as np

class NoLowres:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "lowres":
            raise ImportError("lowres is not here")

sys.meta_path.insert(0, NoLowres())
try:
    import lowres
except ImportError:
    pass
else:
    sys.exit("lowres could be imported")

import torch, transformers
from pathlib import Path
from peft import PeftModel

rows = torch.tensor(json.loads(sys.argv[1]))
for folder in sys.argv[2:]:
    torch.manual_seed(hash(folder))
    config = json.loads(Path(folder, "adapter_config.json").read_text())
    labels = json.loads(Path(folder, "labels.json").read_text())["labels"]
    kind = {"SEQ_CLS": "Sequence", "TOKEN_CLS": "Token"}[config["task_type"]]
    auto = getattr(transformers, f"AutoModelFor{kind}Classification")
    base = auto.from_pretrained(config["base_model_name_or_path"], num_labels=len(labels))
    model = PeftModel.from_pretrained(base, folder).eval()
    with torch.no_grad():
        logits = model(input_ids=rows, attention_mask=rows.ne(0).long()).logits
    np.save(Path(folder, "logits.npy"), logits.numpy())
"""


@dataclass(frozen=True)
class Trained:
    """A model after a few steps, what was seen on the way, and where its adapter lies."""

    network: Any
    losses: list[float]
    located: bases.LocatedBase
    task: Any
    quantization: str
    folder: Path


def task_options(name: str) -> Any:
    return registry.module("tasks", name).Options(name=name)


def attached(folder: Path, task: Any, quantization: str, **given: Any) -> Any:
    located = bases.locate(str(folder))
    options = Base(name=str(folder), quantization=quantization)
    base = model.load_base(located, options, task, LABELS, CPU)
    return lora.attach(base, Lora(rank=4, dropout=0, **given), task, located.name)


def gold(task: Any) -> torch.Tensor:
    if task.name == "classification":
        return torch.tensor([0, 1, 2])
    return torch.where(MASK.bool(), WINDOWS % 3, -100)


def stepped(network: Any, task: Any, steps: int, rate: float = 1e-2) -> list[float]:
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    network.train()
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        logits = network(input_ids=WINDOWS, attention_mask=MASK).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), gold(task).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def logits(network: Any) -> np.ndarray:
    network.eval()
    with torch.no_grad():
        values: np.ndarray = network(input_ids=WINDOWS, attention_mask=MASK).logits.numpy()
    return values


@pytest.fixture(scope="module")
def trained(tiny_tokenizer, tmp_path_factory) -> Callable[[str, str, str], Trained]:
    """`trained(model type, task, quantization)`: ten steps on a tiny model."""
    made: dict[tuple[str, str, str], Trained] = {}
    folder = tmp_path_factory.mktemp("architectures")

    def make(kind: str, task_name: str, quantization: str) -> Trained:
        key = (kind, task_name, quantization)
        if key not in made:
            path = folder / kind
            if not path.exists():
                tiny_study.base(kind, tiny_tokenizer, path)
            torch.manual_seed(0)
            task = task_options(task_name)
            network = attached(path, task, quantization)
            losses = stepped(network, task, 10, rate=5e-3)
            adapter = folder / "-".join(("adapter", *key))
            located = bases.locate(str(path))
            adapter_files.save_adapter(network, adapter, located, task, LABELS, 24, quantization)
            made[key] = Trained(network, losses, located, task, quantization, adapter)
        return made[key]

    return make


@pytest.mark.parametrize(("kind", "task", "quantization"), CASES)
def test_a_few_steps_over_a_quantised_base_lower_the_loss(trained, kind, task, quantization):
    losses = trained(kind, task, quantization).losses
    assert 0 < losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("kind", "task", "quantization"), CASES)
def test_only_lora_and_head_train_in_float32(trained, kind, task, quantization):
    result = trained(kind, task, quantization)
    heads = bases.head_modules(kind, result.task.model_class)
    ours = {f"base_model.model.{head}" for head in heads}
    for name, parameter in result.network.named_parameters():
        in_head = ".modules_to_save." in name and any(name.startswith(f"{o}.") for o in ours)
        assert parameter.requires_grad == (in_head or ".lora_" in name), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32, name
            # DDP with unused parameters would hang or need a slower mode
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("kind", "task", "quantization"), CASES)
def test_every_linear_layer_of_the_blocks_is_quantised_and_adapted(
    trained, kind, task, quantization
):
    result = trained(kind, task, quantization)
    quantised = Linear8bitLt if quantization == "8bit" else Linear4bit
    targets = bases.lora_targets(kind)
    seen = 0
    for name, module in result.network.named_modules():
        if isinstance(module, quantised):
            assert module.weight.dtype in (torch.int8, torch.uint8), name
            assert name.endswith("base_layer"), name
            assert name.removesuffix(".base_layer").endswith(targets), name
            seen += 1
        elif isinstance(module, (torch.nn.Embedding, torch.nn.LayerNorm)):
            assert all(p.dtype == torch.float32 for p in module.parameters()), name
    assert seen >= 2 * 4
    assert not any("lora_" in name for name in _inside_heads(result))


def _inside_heads(result: Trained) -> list[str]:
    names = [name for name, _ in result.network.named_parameters()]
    return [name for name in names if ".modules_to_save." in name or ".original_module." in name]


@pytest.mark.parametrize(("kind", "task", "quantization"), CASES)
def test_the_trained_head_is_saved_and_embeddings_are_not(trained, kind, task, quantization):
    result = trained(kind, task, quantization)
    saved = load_file(result.folder / "adapter_model.safetensors")
    heads = bases.head_modules(kind, result.task.model_class)
    for head in heads:
        live = result.network.base_model.model.get_submodule(head).modules_to_save["default"]
        for name, parameter in live.named_parameters():
            assert torch.equal(saved[f"base_model.model.{head}.{name}"], parameter), name
    assert not any("embed" in name for name in saved)
    # a card that says [More Information Needed] is none
    assert {f.name for f in result.folder.iterdir()} - {"logits.npy"} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "labels.json",
    }


def test_the_pooler_that_bert_lacks_is_saved_with_its_head(trained):
    saved = load_file(
        trained("bert", "classification", "8bit").folder / "adapter_model.safetensors"
    )
    assert "base_model.model.bert.pooler.dense.weight" in saved


def test_plain_transformers_and_peft_give_the_same_logits(trained, tmp_path):
    """In a process that cannot import lowres. In float: 8-bit products are not comparable."""
    results = [trained(*case) for case in CASES]
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, json.dumps(WINDOWS.tolist()), *(r.folder for r in results)],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for result in results:
        base = model.load_base(
            result.located, Base(name="x", quantization="none"), result.task, LABELS, CPU
        )
        expected = logits(adapter_files.load_adapter(base, result.folder))
        plain = np.load(result.folder / "logits.npy")
        np.testing.assert_allclose(plain, expected, atol=1e-6, rtol=0, err_msg=str(result.folder))
        # and they are those of the trained head, not of some other one
        assert np.abs(plain).max() > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_a_float_model_answers_as_it_did_before_it_was_saved(tmp_path, tiny_base, task):
    options = task_options(task)
    torch.manual_seed(0)
    network = attached(tiny_base, options, "none")
    stepped(network, options, 3)
    before = logits(network)
    located = bases.locate(str(tiny_base))
    adapter_files.save_adapter(network, tmp_path, located, options, LABELS, 24, "none")
    torch.manual_seed(1)
    base = model.load_base(located, Base(name="x", quantization="none"), options, LABELS, CPU)
    np.testing.assert_array_equal(logits(adapter_files.load_adapter(base, tmp_path)), before)


def test_an_adapter_names_the_hub_id_of_its_base(tmp_path, tiny_base):
    options = task_options("classification")
    network = attached(tiny_base, options, "none")
    located = bases.LocatedBase("mine", str(tiny_base), "me/mine", "0" * 40, "hub")
    adapter_files.save_adapter(network, tmp_path, located, options, LABELS, 24, "none")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "me/mine"
    assert config["revision"] == "0" * 40
    assert config["inference_mode"] is True


@pytest.mark.parametrize("quantization", ["none", "8bit"])
@pytest.mark.parametrize("variant", ["rslora", "dora"])
def test_rslora_and_dora_learn_and_come_back(tmp_path, tiny_base, variant, quantization):
    options = task_options("tagging")
    torch.manual_seed(0)
    network = attached(tiny_base, options, quantization, **{variant: True})
    losses = stepped(network, options, 5)
    assert losses[-1] < losses[0]
    located = bases.locate(str(tiny_base))
    adapter_files.save_adapter(network, tmp_path, located, options, LABELS, 24, quantization)
    base = model.load_base(located, Base(name="x", quantization=quantization), options, LABELS, CPU)
    again = adapter_files.load_adapter(base, tmp_path)
    assert getattr(again.peft_config["default"], f"use_{variant}")
    # int8 activations round away from each other after the smallest difference
    np.testing.assert_allclose(
        logits(again), logits(network), atol=1e-6 if quantization == "none" else 0.02
    )


def test_chosen_targets_alone_are_adapted(tiny_base):
    network = attached(tiny_base, task_options("classification"), "none", targets=["query"])
    adapted = [n for n, m in network.named_modules() if hasattr(m, "lora_A")]
    assert len(adapted) == 2
    assert all(name.endswith("attention.self.query") for name in adapted)


@pytest.mark.parametrize("target", ["qeury", "classifier", "uery"])
def test_targets_that_match_no_layer_of_the_blocks_are_refused(tiny_base, target):
    with pytest.raises(BaseModelError, match=r"lora\.targets \['\w+'\]: no linear layer of "):
        attached(tiny_base, task_options("classification"), "none", targets=[target])


def test_heads_that_were_quantised_are_found(tiny_base):
    base = attached(tiny_base, task_options("classification"), "8bit").base_model.model
    heads = bases.head_modules("bert", "SequenceClassification")
    with pytest.raises(BaseModelError, match=r"the head .*query.* was quantised"):
        model.check_modules(base, "8bit", (*heads, "bert.encoder.layer.0"), "tiny")


def test_layers_that_were_left_float_are_found(tiny_base):
    base = model.load_base(
        bases.locate(str(tiny_base)),
        Base(name="x", quantization="none"),
        task_options("tagging"),
        LABELS,
        CPU,
    )
    with pytest.raises(
        BaseModelError, match=r"query was to be 8bit and is torch.float32; set base"
    ):
        model.check_modules(base, "8bit", ("classifier",), "tiny")


def test_nf4_weights_are_the_same_after_an_evaluation(trained):
    """bitsandbytes would repack them for AVX512-BF16, with scales rounded to bf16."""
    network = trained("bert", "tagging", "4bit").network
    layers = [m for m in network.modules() if isinstance(m, Linear4bit)]
    before = [layer.weight.data.clone() for layer in layers]
    logits(network)
    assert all(torch.equal(b, layer.weight.data) for b, layer in zip(before, layers, strict=True))
    assert not any(getattr(x.weight.quant_state, "packing_format_for_cpu", False) for x in layers)
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


@pytest.mark.parametrize(("kind", "attention"), [("bert", "lowres_sdpa"), ("deberta-v2", "eager")])
def test_sdpa_where_the_model_has_it(trained, kind, attention):
    assert trained(kind, "tagging", "8bit").network.config._attn_implementation == attention


def test_half_precision_checkpoints_become_float32(tmp_path, tiny_base, tiny_tokenizer):
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny_base, dtype=torch.float16).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    network = attached(tmp_path, task_options("tagging"), "none")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("kind", "typed"), [("bert", True), ("distilbert", False), ("roberta", False)]
)
def test_token_types_only_for_bases_that_have_two(trained, kind, typed, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = model.load_tokenizer(trained(kind, "tagging", "8bit").located)
    assert ("token_type_ids" in tokenizer.model_input_names) is typed
    tokenizer.save_pretrained(tmp_path)
    assert ("token_type_ids" in AutoTokenizer.from_pretrained(tmp_path)("a")) is typed


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(BaseModelError, match=r"base\.name bare: no usable tokenizer"):
        model.load_tokenizer(bases.LocatedBase("bare", str(tmp_path), None, None, "folder"))


def test_no_warning_of_the_libraries_passes(tiny_base):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attached(tiny_base, task_options("tagging"), "8bit")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_frozen_layers_are_held_as_they_are_multiplied(tiny_base, precision):
    from lowres.hardware import Hardware

    machine = Hardware("cpu", precision)
    base = Base(name="base", quantization="none")
    task, located = task_options("tagging"), bases.locate(str(tiny_base))
    loaded = model.load_base(located, base, task, ["a", "b"], machine)
    network = lora.attach(loaded, Lora(), task, "base")
    ids = {"input_ids": torch.tensor([[2, 30, 40, 3]])}
    network.eval()
    with torch.inference_mode(), machine.autocast():
        before = network(**ids).logits
        lora.halve_frozen(network, machine)
        assert torch.equal(network(**ids).logits, before)
    kinds = {p.dtype for n, p in network.named_parameters() if "base_layer" in n}
    assert kinds == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert all(p.dtype is torch.float32 for p in network.parameters() if p.requires_grad)
