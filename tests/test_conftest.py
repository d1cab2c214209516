from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize(
    ("fixture", "model_type", "kind"),
    [
        ("tiny_base", "bert", "WordPiece"),
        ("tiny_unigram_base", "xlm-roberta", "Unigram"),
        ("tiny_bpe_base", "roberta", "BPE"),
    ],
)
def test_tiny_bases_load_and_read_six_scripts(request, sentences, fixture, model_type, kind):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = request.getfixturevalue(fixture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    assert model.config.model_type == model_type
    assert type(tokenizer.backend_tokenizer.model).__name__ == kind
    assert tokenizer.is_fast
    batch = tokenizer(list(sentences), return_tensors="pt", padding=True)
    assert batch["input_ids"].max() < model.config.vocab_size
    assert not (batch["input_ids"] == tokenizer.unk_token_id).any()
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    assert hidden.shape == (*batch["input_ids"].shape, 32)
    assert torch.isfinite(hidden).all()


def test_the_network_is_out_of_reach():
    with socket.socket() as probe, pytest.raises(Exception, match=r"203\.0\.113\.1"):
        probe.connect(("203.0.113.1", 80))
