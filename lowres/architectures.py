"""What LoRA and task heads are called in each architecture that lowres adapts.

A new architecture is a row here; tests/test_bases.py builds a tiny model of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lowres.errors import BaseModelError, nearest


@dataclass(frozen=True)
class Architecture:
    """How transformers names the parts of a model type."""

    lora: tuple[str, ...]
    """Every linear layer of the encoder blocks, by the end of its path."""
    sequence_head: tuple[str, ...]
    """Modules of `...ForSequenceClassification` outside the encoder blocks, by full path, with
    the pooler where the head uses it: a checkpoint without one (e5-small) starts it at random."""
    token_head: tuple[str, ...] = ("classifier",)
    masked_lm_head: tuple[str, ...] = ("lm_head",)
    """Modules of `...ForMaskedLM` outside the encoder."""


_BERT: Final = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_GATED: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "albert": Architecture(
        (
            "attention.query",
            "attention.key",
            "attention.value",
            "attention.dense",
            "ffn",
            "ffn_output",
        ),
        ("albert.pooler", "classifier"),
        masked_lm_head=("predictions",),
    ),
    "bert": Architecture(_BERT, ("bert.pooler", "classifier"), masked_lm_head=("cls",)),
    "camembert": Architecture(_BERT, ("classifier",)),
    "deberta-v2": Architecture(
        (
            "query_proj",
            "key_proj",
            "value_proj",
            "pos_key_proj",  # only where share_att_key is off
            "pos_query_proj",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ),
        ("pooler", "classifier"),
        masked_lm_head=("cls", "lm_predictions"),
    ),
    "distilbert": Architecture(
        ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"),
        ("pre_classifier", "classifier"),
        masked_lm_head=("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    ),
    "electra": Architecture(
        _BERT,
        ("classifier",),
        masked_lm_head=("generator_predictions", "generator_lm_head"),
    ),
    "ernie": Architecture(_BERT, ("ernie.pooler", "classifier"), masked_lm_head=("cls",)),
    "eurobert": Architecture(_GATED, ("dense", "classifier")),
    "gte": Architecture(_GATED, ("gte.pooler", "classifier")),
    "megatron-bert": Architecture(_BERT, ("bert.pooler", "classifier"), masked_lm_head=("cls",)),
    "modernbert": Architecture(
        ("Wqkv", "Wi", "Wo"),
        ("head", "classifier"),
        token_head=("head", "classifier"),
        masked_lm_head=("head", "decoder"),
    ),
    "mpnet": Architecture(
        ("attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"),
        ("classifier",),
    ),
    "nomic_bert": Architecture(_GATED, ("nomic_bert.pooler", "classifier")),
    "rembert": Architecture(_BERT, ("rembert.pooler", "classifier"), masked_lm_head=("cls",)),
    "roberta": Architecture(_BERT, ("classifier",)),
    "xlm-roberta": Architecture(_BERT, ("classifier",)),
    "xlm-roberta-xl": Architecture(_BERT, ("classifier",)),
}
"""By `model_type` of config.json."""


def architecture(model_type: str) -> Architecture:
    """The names of an architecture's parts. Raises `BaseModelError` for one that has no row."""
    if model_type not in ARCHITECTURES:
        raise BaseModelError(
            f"architecture {model_type!r} is no encoder that lowres knows"
            f"{nearest(model_type, list(ARCHITECTURES))} (known: {', '.join(ARCHITECTURES)})"
        )
    return ARCHITECTURES[model_type]


def lora_targets(model_type: str) -> tuple[str, ...]:
    """Ends of the paths of all linear layers in the encoder blocks.

    Some heads have layers of such names too: match within the encoder only.
    """
    return architecture(model_type).lora


def head_modules(model_type: str, model_class: str) -> tuple[str, ...]:
    """Full paths of the modules that a head is made of; they train, and stay float.

    Args:
        model_type: of config.json.
        model_class: `SequenceClassification` or `TokenClassification`.
    """
    heads = architecture(model_type)
    return {
        "SequenceClassification": heads.sequence_head,
        "TokenClassification": heads.token_head,
    }[model_class]


def masked_lm_head(model_type: str) -> tuple[str, ...]:
    """Full paths of the modules of a masked-LM head; they are frozen, and stay float."""
    return architecture(model_type).masked_lm_head
