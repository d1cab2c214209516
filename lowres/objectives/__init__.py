"""What a language adapter learns. One file adds one objective; its name is the objective's.

A file defines `class Objective` with `__init__(self, job: Job)`, `lengths` (tokens of every item,
for batches of similar length), `loss(chosen, step) -> Tensor` (mean over the batch; a function of
its arguments and the seed alone, so that resume is exact) and `figures() -> list[Figure]` on
held-out lines; `masked_lm: bool`, whether it needs a base with a masked-LM head, and
`parallel: bool`, whether every text needs translations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lowres.errors import DataError

if TYPE_CHECKING:
    import torch

    from lowres.hardware import Hardware
    from lowres.material import LanguageText
    from lowres.recipe_text import Adapt


@dataclass(frozen=True)
class Job:
    """What an objective works with."""

    options: Adapt
    texts: tuple[LanguageText, ...]
    network: Any
    """The encoder with LoRA by peft, on its way from the base to the language."""
    full: Any
    """The masked-LM model whose encoder `network` is, or None for a base without a head."""
    tokenizer: Any
    """The tokenizer that the language adapter is for (extended or not)."""
    base_tokenizer: Any
    """The base's own."""
    hardware: Hardware
    folder: Path
    """For what is computed once; it survives a kill and goes away in the end."""
    seed: int
    batch_tokens: int = 4096
    """Tokens a forward pass without gradients, padding included."""
    say: Callable[[str], None] = lambda line: None
    """Where to tell what a reader should know, such as damage that was mended."""


@dataclass(frozen=True)
class Figure:
    """One figure on held-out lines."""

    language: str
    name: str
    """`retrieval@1 to English`, `bits a character` …"""
    value: float
    n: int


class Objective(Protocol):
    """The contract of a file in this folder."""

    masked_lm: bool
    parallel: bool
    lengths: Sequence[int] | np.ndarray

    def __init__(self, job: Job) -> None: ...

    def loss(self, chosen: Sequence[int], step: int) -> torch.Tensor:
        """Of these items, to be lowered."""

    def figures(self) -> list[Figure]:
        """How good the network is now."""


def check_enough(found: int, batch: int) -> None:
    """Raise `DataError` for fewer items than a batch."""
    if found < batch:
        raise DataError(
            f"adapt: {found} lines to learn from, fewer than adapt.batch {batch}; give more text, "
            "or set a smaller adapt.batch"
        )


def encoder_of(tokenizer: Any, max_tokens: int) -> Any:
    """Lines to ids with specials, at most `max_tokens` of them."""

    def encode(lines: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(
            lines, truncation=True, max_length=max_tokens, return_attention_mask=False
        )["input_ids"]
        return ids

    return encode
