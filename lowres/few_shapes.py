"""Forward passes over lines without end, in batches of few shapes.

In half precision the kernels of a CPU are compiled for a shape and kept, up to a thousand of them:
hundreds of MB after a million lines whose batches have any shape, 11 MB at most with these
(docs/results.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn import functional

from lowres import inference
from lowres.hardware import Hardware

if TYPE_CHECKING:
    from datasets import Dataset

STEP: Final = 8
"""Tokens of a window and rows of a batch are brought up to a multiple: under 1% slower."""


def logits(
    model: Any, windows: Dataset, pad_id: int, hardware: Hardware, batch_tokens: int
) -> list[np.ndarray]:
    """As `inference.logits`; in fp32 nothing is kept for a shape, and it is that."""
    if hardware.precision == "fp32":
        return inference.logits(model, windows, pad_id, hardware, batch_tokens)
    rows = windows.to_list()
    lengths = [len(row["input_ids"]) for row in rows]
    # never wider than the widest window: a base may have no more positions
    wide = [min(_up(length), max(lengths)) for length in lengths]
    answers: list[np.ndarray | None] = [None] * len(rows)
    model.eval()
    with torch.inference_mode():
        for chosen in inference.batches(wide, batch_tokens):
            width = wide[chosen[0]]
            count = min(_up(len(chosen)), max(1, batch_tokens // width))
            # what is too much is the last window once more: its answer is left out by `zip`
            given = [*chosen, *[chosen[-1]] * (count - len(chosen))]
            inputs = inference.model_inputs([rows[i] for i in given], pad_id)
            room = width - inputs["input_ids"].shape[1]
            inputs = {
                name: functional.pad(ids, (0, room), value=pad_id if name == "input_ids" else 0)
                for name, ids in inputs.items()
            }
            with hardware.autocast():
                out = model(**{k: hardware.moved(v) for k, v in inputs.items()}).logits
            values = out.float().cpu().numpy()
            for index, value in zip(chosen, values, strict=False):
                # a copy: a view would hold the whole batch
                own = value[: lengths[index]] if value.ndim == 2 else value
                answers[index] = own.copy()
    return [answer for answer in answers if answer is not None]


def _up(number: int) -> int:
    return -(-number // STEP) * STEP
