"""What an encoder is made of, as far as its memory goes: read from config.json, never from weights.

For the bases of `bases.ROWS` whose shape is published the numbers stand here, so that planning
needs no network and no download.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lowres import bases, snapshots
from lowres.architectures import lora_targets
from lowres.embedded import EMBEDDED, cache_folder
from lowres.errors import BaseModelError

_SHARED_BLOCKS: Final = ("albert",)
_GATED: Final = ("eurobert", "gte", "modernbert", "nomic_bert")
_EAGER: Final = ("deberta-v2",)
"""Without scaled dot product attention in transformers: every score is kept."""


@dataclass(frozen=True)
class Linear:
    """A linear layer of a block, by the end of its path."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Shape:
    """An encoder's sizes, as config.json has them."""

    architecture: str
    hidden: int
    layers: int
    heads: int
    inner: int
    """Width between the two linear layers of a block."""
    vocabulary: int
    positions: int
    table_width: int | None = None
    """Of the embeddings, where it is not `hidden`."""
    attention_dropout: bool = True
    """With it, CPUs have no fused attention: scores are kept for the backward pass."""

    @property
    def gated(self) -> bool:
        """Whether a block multiplies two inner layers (GeGLU and its like)."""
        return self.architecture in _GATED

    @property
    def eager(self) -> bool:
        """Whether attention is computed score by score, fused nowhere."""
        return self.architecture in _EAGER

    @property
    def distinct_layers(self) -> int:
        """Blocks that have weights of their own."""
        return 1 if self.architecture in _SHARED_BLOCKS else self.layers

    @property
    def shares_layers(self) -> bool:
        """Whether all blocks have the same weights, as ALBERT's."""
        return self.distinct_layers < self.layers

    @property
    def table(self) -> int:
        """Parameters of the input embeddings."""
        return self.vocabulary * (self.table_width or self.hidden)

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Linear layers of one block. Raises `BaseModelError` for an unknown architecture."""
        hidden, inner = self.hidden, self.inner
        if self.architecture == "modernbert":
            return (
                Linear("Wqkv", hidden, 3 * hidden),
                Linear("Wo", hidden, hidden),
                Linear("Wi", hidden, 2 * inner),
                Linear("Wo", inner, hidden),
            )
        # relative positions of DeBERTa share the layers of queries and keys in every known base
        names = [n for n in lora_targets(self.architecture) if not n.startswith("pos_")]
        widths = [(hidden, hidden)] * 4 + [(hidden, inner)] * (len(names) - 5) + [(inner, hidden)]
        return tuple(Linear(n, *width) for n, width in zip(names, widths, strict=True))

    @property
    def block(self) -> int:
        """Weights of the linear layers of one block."""
        return sum(linear.inputs * linear.outputs for linear in self.linears)

    @property
    def small(self) -> int:
        """What no quantisation touches: position embeddings, norms, biases."""
        a_block = sum(linear.outputs for linear in self.linears) + 4 * self.hidden
        return (self.positions + 4) * self.hidden + self.distinct_layers * a_block

    @property
    def parameters(self) -> int:
        """Of the encoder, without any head."""
        return self.table + self.distinct_layers * self.block + self.small


def _xlmr(hidden: int, layers: int) -> Shape:
    return Shape("xlm-roberta", hidden, layers, hidden // 64, 4 * hidden, 250_002, 514)


def _modern(hidden: int) -> Shape:
    return Shape(
        "modernbert", hidden, 22, hidden // 64, 1152, 256_000, 0, attention_dropout=False
    )  # rotary positions have no table


KNOWN: Final[Mapping[str, Shape]] = {
    "e5-small": Shape("bert", 384, 12, 12, 1536, 250_037, 512),
    "e5-base": _xlmr(768, 12),
    "minilm-en": Shape("bert", 384, 6, 12, 1536, 30_522, 512),
    "xlm-roberta-base": _xlmr(768, 12),
    "xlm-roberta-large": _xlmr(1024, 24),
    "bert-base-multilingual-cased": Shape("bert", 768, 12, 12, 3072, 119_547, 512),
    "distilbert-base-multilingual-cased": Shape("distilbert", 768, 6, 12, 3072, 119_547, 512),
    "mdeberta-v3-base": Shape("deberta-v2", 768, 12, 12, 3072, 251_000, 512),
    "mmBERT-base": _modern(768),
    "mmBERT-small": _modern(384),
    "afro-xlmr-base": _xlmr(768, 12),
    "LaBSE": Shape("bert", 768, 12, 12, 3072, 501_153, 512),
}
"""As the papers and model cards of `bases.ROWS` give them; one that is unsure is not here."""


@dataclass(frozen=True)
class Found:
    """A base's shape, and where its tokenizer is, if it is on this disk."""

    name: str
    shape: Shape
    folder: Path | None
    source: str
    """Where the shape is from."""


def find(name: str, revision: str | None = None) -> Found:
    """The shape of a recipe's base, without weights and without asking the Hub.

    Args:
        name: a short name (`bases.ROWS`), a Hub id, or a folder.
        revision: of the Hub.

    Raises:
        BaseModelError: no such name, or a base whose config.json is not on this disk.
    """
    bases.check_name(name)
    short = next((row.name for row in bases.ROWS.values() if name in (row.name, row.hub_id)), None)
    folder = _folder(name, short, revision)
    if folder is not None:
        return Found(name, read(folder, name), folder, f"config.json in {folder}")
    if short is not None and short in KNOWN:
        return Found(name, KNOWN[short], None, "the table of known bases")
    raise BaseModelError(
        f"base.name {name}: its config.json is not on this disk, and lowres does not know its "
        "shape; set base.name to a folder with its config.json, or fetch it: "
        f"hf download {bases.ROWS[short].hub_id if short else name} config.json tokenizer.json"
    )


def _folder(name: str, short: str | None, revision: str | None) -> Path | None:
    folder = Path(name).expanduser()
    if short != name and folder.is_dir():
        return folder.resolve()
    hub_id = bases.ROWS[short].hub_id if short else name
    stored = snapshots.config_in_cache(hub_id, revision)
    if stored is not None:
        return stored
    rebuilt = cache_folder() / "bases" / str(short)
    return rebuilt if short in EMBEDDED and (rebuilt / "config.json").is_file() else None


def read(folder: Path, name: str) -> Shape:
    """The shape in a folder's config.json. Raises `BaseModelError` where there is none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return of_config(config)
    except OSError as error:
        raise BaseModelError(f"base.name {name}: no config.json in {folder}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BaseModelError(
            f"base.name {name}: config.json in {folder} gives no sizes of an encoder ({error}); "
            "copy or download the base again"
        ) from error


def of_config(config: Mapping[str, Any]) -> Shape:
    """A shape from config.json. Raises `KeyError` with the first key that is missing."""

    def one(*names: str) -> int:
        for name in names:
            if config.get(name) is not None:
                return int(config[name])
        raise KeyError(names[0])

    architecture = str(config["model_type"])
    lora_targets(architecture)  # says so when it is none of ours
    rotary = architecture in _GATED
    dropouts = ("attention_probs_dropout_prob", "attention_dropout")
    given = [float(config[key]) for key in dropouts if config.get(key) is not None]
    width = config.get("embedding_size")
    return Shape(
        architecture,
        one("hidden_size", "dim"),
        one("num_hidden_layers", "n_layers"),
        one("num_attention_heads", "n_heads"),
        one("intermediate_size", "hidden_dim"),
        one("vocab_size"),
        0 if rotary else one("max_position_embeddings"),
        None if width is None else int(width),
        any(given) if given else not rotary,
    )
