"""Whether a base puts a line beside its translation: the nearest of all lines of the other side.

Of parallel lines, without labels, as in XTREME's Tatoeba task (Hu et al. 2020, arXiv:2003.11080).
A base in which a target's lines find a source's may carry over what is learnt on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lowres import inference, model
from lowres.bases import LocatedBase
from lowres.hardware import Hardware
from lowres.recipe import Base

if TYPE_CHECKING:
    from lowres.progress import Advance

LINES: Final = 200
"""Of a text that are looked at, evenly spread: chance is then half a percent."""
MAX_TOKENS: Final = 128
BATCH_TOKENS: Final = 4096


class Encoder:
    """A frozen base that makes one vector of a line."""

    def __init__(self, located: LocatedBase, hardware: Hardware) -> None:
        # whole weights: the figures are then those of no quantisation
        options = Base(name=located.name, quantization="none")
        self._hardware = hardware
        self._tokenizer = model.load_tokenizer(located)
        self._encoder, _ = model.load_encoder(located, options, hardware, masked_lm=False)

    def vectors(self, lines: Sequence[str], advance: Advance = lambda n: None) -> np.ndarray:
        """[lines, hidden] of length 1: the mean over the tokens, cut at `MAX_TOKENS`."""
        rows: list[dict[str, Any]] = [
            {"input_ids": ids}
            for ids in self._tokenizer(list(lines), truncation=True, max_length=MAX_TOKENS)[
                "input_ids"
            ]
        ]
        found = np.zeros((len(rows), self._encoder.config.hidden_size), dtype=np.float32)
        pad = int(self._tokenizer.pad_token_id or 0)
        states = inference.hidden_states(
            self._encoder, _Rows(rows), pad, self._hardware, BATCH_TOKENS, advance
        )
        for index, state in states:
            found[index] = state.mean(axis=0)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found


class _Rows:
    """What `inference.hidden_states` asks of a data set."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def to_list(self) -> list[dict[str, Any]]:
        return self._rows


def accuracy(target: np.ndarray, source: np.ndarray) -> float:
    """Mean of both directions: share of lines whose nearest vector is that of their translation.

    Args:
        target: [lines, hidden], rows of length 1.
        source: the same lines' translations, in the same order.
    """
    likeness = target @ source.T
    own = np.arange(len(target))
    there = (likeness.argmax(axis=1) == own).mean()
    back = (likeness.argmax(axis=0) == own).mean()
    return float((there + back) / 2)
