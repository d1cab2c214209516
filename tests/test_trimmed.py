from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_language import LABELS, SENTENCES, task_options
from tiny_study import CPU
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from lowres import adapter_files, model, trim, trimmed
from lowres import rows as new_rows
from lowres.errors import RunError
from lowres.recipe import Base
from lowres.trimmed import Kept, TrimmedEmbedding, Unread

KINDS = ("bert", "xlm-roberta", "roberta", "distilbert", "modernbert")
ROWS, WIDTH = 30, 8
UNKNOWN = 3


def kept(*ids: int) -> Kept:
    return Kept(np.array(sorted({0, UNKNOWN, *ids})), ROWS, UNKNOWN)


def table() -> torch.nn.Embedding:
    torch.manual_seed(0)
    return torch.nn.Embedding(ROWS, WIDTH, padding_idx=1)


@given(st.lists(st.integers(0, ROWS - 1), max_size=12), st.data())
def test_kept_ids_read_as_before_and_others_as_unknown(ids, data):
    whole, chosen = table(), kept(*ids)
    small = TrimmedEmbedding(whole, chosen)
    text = torch.tensor(
        data.draw(st.lists(st.integers(0, ROWS - 1), min_size=6, max_size=6))
    ).reshape(2, 3)
    known = torch.isin(text, torch.from_numpy(chosen.ids))
    assert torch.equal(small(text), whole(text.masked_fill(~known, UNKNOWN)))
    lost = text[~known].tolist()
    unread = Unread(small, None, ())
    unread.add(text.tolist())
    assert unread.missed == {i: lost.count(i) for i in lost}
    assert unread.pieces == 6
    places = small.places(text)
    assert (places[~known] == -1).all()
    assert torch.equal(small.weight[places[known]], whole.weight[text[known]])


def test_rows_of_new_pieces_follow_the_kept_ones():
    small = TrimmedEmbedding(table(), kept(5, 9))
    ids = torch.tensor([[0, 9, ROWS], [ROWS + 4, 7, UNKNOWN]])
    assert small.places(ids, ROWS).tolist() == [[0, 3, 4], [8, -1, 1]]
    # a table with spare rows: new ids begin inside it
    assert small.places(torch.tensor([20, 29, 5]), 20).tolist() == [4, 13, 2]


def test_the_table_is_as_small_as_it_says():
    small = TrimmedEmbedding(table(), kept(5, 9))
    assert small.weight.shape == (4, WIDTH)
    assert (small.num_embeddings, small.embedding_dim) == (ROWS, WIDTH)
    assert [name for name, _ in small.named_parameters()] == ["kept.weight"]
    assert not small.weight.requires_grad
    assert list(small.state_dict()) == ["kept.weight"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_so(dtype):
    whole = table().to(dtype)
    small = TrimmedEmbedding(whole, kept(5))
    assert torch.equal(small(torch.tensor([5])), whole(torch.tensor([5])))


def test_special_pieces_and_new_ones_are_no_pieces_without_a_row():
    unread = Unread(TrimmedEmbedding(table(), kept(5)), 20, [0, 1])
    unread.add([[0, 7, 7, 5, 1], [8, 20, 25, ROWS + 4, 1, 1]])
    assert (unread.pieces, unread.missed) == (7, {7: 2, 8: 1})
    (note,) = unread.notes(str)
    assert note.startswith("3 of 7 pieces of the text (42.9%) have no row in the trimmed table")
    assert "2 different ones ('7', '8'): leave --trimmed out" in note


@pytest.fixture(scope="module")
def located(tiny_base, tiny_unigram_base, tiny_bpe_base, tiny_tokenizer, tmp_path_factory):
    bases = {"bert": tiny_base, "xlm-roberta": tiny_unigram_base, "roberta": tiny_bpe_base}
    return tiny_language.Languages(tmp_path_factory.mktemp("languages"), bases, tiny_tokenizer)


def trimmed_to(located: Any, texts: Any, folder: Path) -> Any:
    tokenizers = [model.load_tokenizer(located.plain()), model.load_tokenizer(located)]
    rows = AutoConfig.from_pretrained(located.path).vocab_size
    ids = trim.kept_ids(tokenizers, texts)
    trimmed.write(
        folder / trimmed.FILE, Kept(ids[ids < rows], rows, trim.unknown_id(tokenizers[0]))
    )
    return replace(located, kept=str(folder / trimmed.FILE))


def inputs(located: Any, texts: Any = SENTENCES) -> tuple[torch.Tensor, int]:
    tokenizer = model.load_tokenizer(located)
    ids = tokenizer(list(texts), padding=True, return_tensors="pt")["input_ids"]
    return ids, int(tokenizer.pad_token_id or 0)


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_logits_are_exactly_those_of_the_whole_table(located, tmp_path, kind, task, quantization):
    """With new rows beside it and a language adapter on top."""
    options = task_options(task)
    whole = located(kind)
    small = trimmed_to(whole, SENTENCES, tmp_path)
    ids, pad = inputs(whole)
    networks = [tiny_language.attached(base, options, quantization) for base in (whole, small)]
    said = [tiny_language.logits(network, ids, pad) for network in networks]
    assert torch.equal(said[0], said[1])
    embedding = trimmed.find(networks[1])
    assert embedding.weight.shape[0] < 0.5 * embedding.num_embeddings
    assert new_rows.find(networks[1]).base is embedding
    unread = Unread(embedding, new_rows.find(networks[1]).first_id, ())
    unread.add(ids.tolist())
    assert unread.pieces
    assert unread.notes(str) == []


def test_gradients_are_exactly_those_of_the_whole_table(located, tmp_path):
    whole = located("xlm-roberta")
    ids, _ = inputs(whole)
    gradients = []
    for base in (whole, trimmed_to(whole, SENTENCES, tmp_path)):
        network = tiny_language.attached(base, task_options("tagging"))
        rows = new_rows.find(network)
        rows.rows.requires_grad_(True)
        network(input_ids=ids, labels=torch.ones_like(ids)).loss.backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.requires_grad})
    assert gradients[0].keys() - gradients[1].keys() == set()
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_the_adapter_knows_nothing_of_it_and_loads_on_the_whole_base(located, tmp_path):
    whole, options = located("bert"), task_options("classification")
    small = trimmed_to(whole, SENTENCES, tmp_path)
    network = tiny_language.attached(small, options)
    ids, pad = inputs(whole)
    said = tiny_language.logits(network, ids, pad)
    files = []
    for name, base in (("small", small), ("whole", whole)):
        adapter_files.save_adapter(
            tiny_language.attached(base, options),
            tmp_path / name,
            base,
            options,
            LABELS,
            24,
            "none",
        )
        files.append({f.name: f.read_bytes() for f in sorted((tmp_path / name).iterdir())})
    assert files[0] == files[1]
    for base in (whole.plain(), small.plain()):
        loaded = model.load_base(base, Base(name="x", quantization="none"), options, LABELS, CPU)
        assert (trimmed.find(loaded) is not None) == (base.kept is not None)
        again = adapter_files.load_adapter(loaded, tmp_path / "small")
        torch.testing.assert_close(tiny_language.logits(again, ids, pad), said, atol=1e-5, rtol=0)


def test_pieces_without_a_row_read_as_unknown_and_are_reported(located, tmp_path):
    plain = located("xlm-roberta").plain()
    small = trimmed_to(plain, ["The teacher"], tmp_path)
    tokenizer = model.load_tokenizer(plain)
    network = tiny_language.attached(small, task_options("classification"))
    ids, pad = inputs(plain, ["The river opened"])
    said = tiny_language.logits(network, ids, pad)
    known = torch.isin(ids, torch.from_numpy(trimmed.read(Path(small.kept)).ids))
    assert not known.all()
    whole = tiny_language.attached(plain, task_options("classification"))
    read_as = ids.masked_fill(~known, tokenizer.unk_token_id)
    assert torch.equal(said, tiny_language.logits(whole, read_as, pad))
    unread = Unread(trimmed.find(network), None, tokenizer.all_special_ids)
    unread.add(ids.tolist())
    lost = ids[~known].tolist()
    assert unread.missed.total() == len(lost)
    (note,) = unread.notes(tokenizer.convert_ids_to_tokens)
    assert f"{len(set(lost))} different ones" in note
    assert repr(tokenizer.convert_ids_to_tokens(lost[0])) in note
    assert "tokenizer.trim.keep_text" in note


def masked_lm(kind: str, base: Path, tie: bool, folder: Path) -> Path:
    config = AutoConfig.from_pretrained(base)
    config.tie_word_embeddings = tie
    torch.manual_seed(0)
    network = AutoModelForMaskedLM.from_config(config)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    network.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_lm_head_answers_for_the_kept_pieces(located, tmp_path, kind, tie):
    plain = located(kind).plain()
    folder = masked_lm(kind, Path(plain.path), tie, tmp_path / "base")
    model.load_tokenizer(plain).save_pretrained(folder)
    whole = replace(plain, path=str(folder))
    small = trimmed_to(whole, SENTENCES, tmp_path)
    ids, pad = inputs(whole)
    options = Base(name="x", quantization="none")
    _, full = model.load_encoder(small, options, CPU, masked_lm=True)
    assert trimmed.find(full) is None, "adaptation sees the whole softmax"
    said = [tiny_language.logits(full.eval(), ids, pad)]
    chosen = trimmed.read(Path(small.kept)).ids
    trimmed.apply(full, trimmed.read(Path(small.kept)))
    said.append(tiny_language.logits(full, ids, pad))
    torch.testing.assert_close(said[1], said[0][..., chosen], atol=1e-5, rtol=0)
    embedding, head = full.get_input_embeddings(), full.get_output_embeddings()
    assert (head.weight is embedding.weight) == tie
    places = embedding.places(ids)
    torch.testing.assert_close(
        said[1].gather(-1, places.unsqueeze(-1)), said[0].gather(-1, ids.unsqueeze(-1))
    )
    count = sum(p.numel() for p in full.parameters() if len(p) == embedding.num_embeddings)
    assert count <= embedding.num_embeddings, "at most a bias that nothing reads"


def test_the_whole_table_is_let_go(tiny_unigram_base, tmp_path):
    network = AutoModelForMaskedLM.from_pretrained(tiny_unigram_base)
    count = network.config.vocab_size
    whole = weakref.ref(network.get_input_embeddings().weight)
    trimmed.apply(network, Kept(np.array([0, 3, 7]), count, 3))
    gc.collect()
    assert whole() is None


def test_a_base_of_another_number_of_rows_is_refused(tiny_base):
    network = AutoModel.from_pretrained(tiny_base)
    with pytest.raises(RunError, match=rf"for a base of {ROWS} rows, this one has \d+; run the"):
        trimmed.apply(network, kept(5))
    assert trimmed.find(network) is None


def test_what_is_kept_comes_back(tmp_path):
    file = tmp_path / trimmed.FILE
    trimmed.write(file, kept(5, 29))
    read = trimmed.read(file)
    assert read.ids.tolist() == [0, UNKNOWN, 5, 29]
    assert (read.rows, read.unknown_id) == (ROWS, UNKNOWN)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {"rows": 9, "unknown_id": 3, "ids": []},
        {"rows": 9, "unknown_id": 3, "ids": [0, 5]},
        {"rows": 9, "unknown_id": 3, "ids": [3, 5]},
        {"rows": 9, "unknown_id": 3, "ids": [0, 3, 9]},
        {"rows": 9, "unknown_id": 3, "ids": [0, 3, 3]},
        {"rows": 9, "unknown_id": 3, "ids": "all"},
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, plain):
    file = tmp_path / trimmed.FILE
    if plain is not None:
        file.write_text(json.dumps(plain))
    with pytest.raises(RunError, match=r"kept\.json: cannot be read .*; run the recipe again"):
        trimmed.read(file)
