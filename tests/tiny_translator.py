"""Tiny random translation models with the real tokenizers' classes, made without a network."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import sentencepiece
import tiny_study
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
)

SIZES: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 64,
}


def pieces(folder: Path, name: str) -> Path:
    """A sentencepiece model of the tiny study's sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row["text"] for row in tiny_study.examples("classification", 60, 1)]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / name), vocab_size=60,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return folder / f"{name}.model"


def vocabulary(model: Path, begin: tuple[str, ...], end: tuple[str, ...] = ()) -> dict[str, int]:
    loaded = sentencepiece.SentencePieceProcessor(str(model))
    own = [loaded.id_to_piece(i) for i in range(loaded.get_piece_size())]
    words = dict.fromkeys([*begin, *(p for p in own if p not in ("<unk>", "<s>", "</s>")), *end])
    return {piece: number for number, piece in enumerate(words)}


def saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    with torch.no_grad():
        # as far from each other as a trained model's, so that answers differ by the text
        for parameter in model.parameters():
            parameter.mul_(8)
    model.generation_config.max_length = 40
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def m2m(folder: Path) -> Path:
    """M2M-100's own tokenizer, with its hundred languages."""
    spm = pieces(folder / "parts", "spm")
    words = vocabulary(spm, ("<s>", "<pad>", "</s>", "<unk>"))
    file = folder / "parts" / "vocab.json"
    file.write_text(json.dumps(words), encoding="utf-8")
    tokenizer = M2M100Tokenizer(vocab_file=str(file), spm_file=str(spm))
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(words) + 108, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        decoder_start_token_id=2, **SIZES,
    )  # fmt: skip
    return saved(M2M100ForConditionalGeneration(config), tokenizer, folder / "model")


def marian(folder: Path, tags: tuple[str, ...]) -> Path:
    """opus-mt's tokenizer; with tags a model of several languages."""
    spm = pieces(folder / "parts", "spm")
    words = vocabulary(spm, ("</s>", "<unk>", *tags), ("<pad>",))
    file = folder / "parts" / "vocab.json"
    file.write_text(json.dumps(words), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        tokenizer = MarianTokenizer(source_spm=str(spm), target_spm=str(spm), vocab=str(file))
    torch.manual_seed(0)
    end = words["<pad>"]
    config = MarianConfig(
        vocab_size=len(words), pad_token_id=end, eos_token_id=0, decoder_start_token_id=end,
        forced_eos_token_id=0, **SIZES,
    )  # fmt: skip
    return saved(MarianMTModel(config), tokenizer, folder / "model")
