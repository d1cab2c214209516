from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_language
import tiny_study
import torch
from safetensors.torch import load_file, save_file
from tiny_language import FLOAT, LABELS, task_options
from tiny_study import CPU

from lowres import lora, model, quiet, stacking
from lowres import rows as new_rows
from lowres.bases import LocatedBase
from lowres.errors import RunError

FAMILIES = ("bert", "xlm-roberta", "roberta")


@pytest.fixture(scope="module")
def located(tiny_base, tiny_unigram_base, tiny_bpe_base, tiny_tokenizer, tmp_path_factory):
    bases = {"bert": tiny_base, "xlm-roberta": tiny_unigram_base, "roberta": tiny_bpe_base}
    return tiny_language.Languages(tmp_path_factory.mktemp("languages"), bases, tiny_tokenizer)


def test_the_combination_is_what_peft_calls_cat(located, tmp_path):
    """Two adapters of a bare encoder, which peft can concatenate itself."""
    from peft import PeftModel
    from transformers import AutoModel

    plain = located("bert").plain()
    folders = [tmp_path / "language", tmp_path / "task"]
    tiny_language.adapt(plain, folders[0], rank=3, seed=1)
    tiny_language.adapt(plain, folders[1], rank=5, seed=2)

    def loaded(folder: Path, name: str) -> Any:
        encoder = AutoModel.from_pretrained(plain.path)
        with quiet.peft():
            return PeftModel.from_pretrained(encoder, folder, name).eval()

    reference = loaded(folders[0], "language")
    reference.load_adapter(folders[1], "task")
    reference.add_weighted_adapter(["language", "task"], [1.0, 1.0], "both", combination_type="cat")
    reference.set_adapter("both")
    stacking.combine(folders[1], stacking.read(folders[0]), None, "", "word_embeddings")
    ours = loaded(folders[1], "default")
    ids = torch.tensor([[2, 30, 41, 52, 3]])
    with torch.no_grad():
        said, expected = ours(ids).last_hidden_state, reference(ids).last_hidden_state
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=0)
    theirs, mine = reference.peft_config["both"], ours.peft_config["default"]
    assert (mine.r, mine.lora_alpha) == (theirs.r, theirs.lora_alpha) == (8, 8)


def test_an_adapter_of_3000_new_pieces_is_small(tmp_path, tiny_tokenizer):
    """Rows, LoRA and head of XLM-R base: never its table, which is 768 MB."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    pieces, first, width = 3_000, 250_002, 768
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=first, num_labels=len(LABELS))
    with torch.device("meta"):
        base = XLMRobertaForSequenceClassification(config)
    # memory that nothing has touched costs nothing, and no weight is looked at
    base.to_empty(device="cpu")
    assert base.config.num_hidden_layers == 12
    new_rows.extend(base, torch.zeros(pieces, width), first)
    from lowres.recipe import Lora

    task = task_options("classification")
    network = lora.attach(base, Lora(rank=16), task, "xlm-roberta-base")
    network.save_pretrained(tmp_path, save_embedding_layers=False)
    below = stacking.Language(
        {
            path: (torch.zeros(16, layer.in_features), torch.zeros(layer.out_features, 16))
            for path, layer in base.roberta.encoder.named_modules(prefix="encoder")
            if path.endswith("base_layer")
            for path in [path.removesuffix(".base_layer")]
        },
        16,
        None,
        None,
    )
    brought = torch.ones(pieces, width), first
    stacking.combine(tmp_path, below, brought, "roberta", model.embedding_path(base))
    factors = 2 * 32 * sum(sum(a.shape[1:]) + b.shape[0] for a, b in below.factors.values())
    head = sum(p.numel() for n, p in network.named_parameters() if ".modules_to_save." in n)
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert size <= pieces * width * 4 + (factors + head) * 4 + 2**20


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_8_bit_stack_learns_and_answers(located, kind):
    task = task_options("tagging")
    network = tiny_language.attached(located(kind), task, quantization="8bit")
    ids = torch.tensor([[5, 30, 41, 52], [5, 61, 7, 8]])
    floats = tiny_language.attached(located(kind), task)
    said, expected = (tiny_language.logits(n, ids, -1) for n in (network, floats))
    assert (said - expected).abs().max() < 0.1 * expected.abs().max() + 0.1
    network.train()(input_ids=ids, labels=torch.zeros_like(ids)).loss.backward()
    learning = {name for name, p in network.named_parameters() if p.grad is not None}
    assert learning
    assert all(".lora_" in name or ".modules_to_save." in name for name in learning)


def _edit(folder: Path, change: Any) -> Path:
    weights = load_file(folder / stacking.WEIGHTS)
    change(weights)
    save_file(weights, folder / stacking.WEIGHTS, metadata={"format": "pt"})
    return folder


def _edit_config(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / stacking.CONFIG).read_text())
    (folder / stacking.CONFIG).write_text(json.dumps({**config, **changes}))
    return folder


@pytest.fixture
def language(located, tmp_path) -> Path:
    """A copy of the tiny BERT's language adapter, to be damaged."""
    folder: Path = shutil.copytree(located("bert").language, tmp_path / "language")
    return folder


def test_rows_of_a_wrong_number_are_refused(language):
    key = next(k for k in load_file(language / stacking.WEIGHTS) if k.endswith(stacking.ROWS_KEY))
    _edit(language, lambda weights: weights.update({key: weights[key][:-1].clone()}))
    with pytest.raises(RunError, match=r"rows of shape \[\[\d+, 32\]\], expected \d+ of them"):
        stacking.read(language)
    _edit(language, lambda weights: weights.pop(key))
    with pytest.raises(RunError, match=r"rows of shape \[\], expected \d+ of them"):
        stacking.read(language)


def test_gaps_in_the_ids_are_refused(language):
    ids = stacking.token_ids(stacking.read_config(language))
    _edit_config(language, trainable_token_indices={"word_embeddings": [7, *ids[1:]]})
    with pytest.raises(RunError, match=r"trainable_token_indices has gaps; .* plain peft"):
        stacking.read(language)


def test_an_adapter_of_another_architecture_is_refused(located, language):
    other = replace(located("distilbert").plain(), language=str(language))
    with pytest.raises(RunError, match=r"another architecture: DistilBertModel has no layer enc"):
        _load(_without_rows(other))


def test_an_adapter_of_another_width_is_refused(located, language, tiny_tokenizer, tmp_path):
    wide = tiny_language.locate(tiny_study.base("bert", tiny_tokenizer, tmp_path / "wide"))
    other = replace(wide, language=str(language))
    with pytest.raises(RunError, match=r"rows are \[\d+, 32\], expected \[pieces, 64\]"):
        _load(other)
    with pytest.raises(RunError, match=r"of another base: its encoder.* is 32 x 32, .* 64 x 64"):
        _load(_without_rows(other))


def test_rows_behind_ids_that_the_base_never_had_are_refused(located, language):
    ids = stacking.token_ids(stacking.read_config(language))
    moved = [i + 1000 for i in ids]
    _edit_config(language, trainable_token_indices={"word_embeddings": moved})
    with pytest.raises(RunError, match=r"ids start at \d+, the base has \d+ rows"):
        _load(replace(located("bert"), language=str(language)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, r"DoRA cannot be combined .* \(lora\.dora: false"),
        ({"rank_pattern": {"query": 2}}, "rank_pattern cannot be combined"),
        ({"peft_type": "LOHA"}, "LOHA cannot be combined"),
    ],
)
def test_what_is_no_plain_lora_is_refused(language, changes, said):
    with pytest.raises(RunError, match=said):
        stacking.read(_edit_config(language, **changes))


def test_files_that_are_missing_or_damaged_are_refused(language, tmp_path):
    with pytest.raises(RunError, match=r"adapter_config\.json: cannot be read"):
        stacking.read(tmp_path / "nowhere")
    (language / stacking.WEIGHTS).write_bytes(b"\x10" + bytes(40))
    with pytest.raises(RunError, match=r"adapter_model\.safetensors: cannot be read"):
        stacking.read(language)
    (language / stacking.WEIGHTS).unlink()
    with pytest.raises(RunError, match=r"adapter_model\.safetensors: cannot be read"):
        stacking.read(language)


def _without_rows(located: LocatedBase) -> LocatedBase:
    assert located.language is not None
    _edit_config(Path(located.language), trainable_token_indices=None)
    return located


def _load(located: LocatedBase) -> None:
    model.load_base(located, FLOAT, task_options("tagging"), LABELS, CPU)
