"""Forward passes over windows, sorted by length, answers in the order of the examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from lowres.hardware import Hardware
from lowres.progress import Advance
from lowres.tasks import Prediction, TaskOptions

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def encoded(
    task: TaskOptions,
    examples: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_tokens: int,
) -> Dataset:
    """`task.encode`, as what stands for it where windows are kept."""
    return task.encode(examples, tokenizer, labels, max_tokens)


Encode = Callable[
    ["TaskOptions", "Dataset", "PreTrainedTokenizerBase", Sequence[str], int], "Dataset"
]


class Frozen(Protocol):
    """The lowest layers of a model where nothing in them trains, see `prefix.py`."""

    def of(
        self, rows: Sequence[dict[str, Any]], pad_id: int, batch_tokens: int
    ) -> Callable[[Sequence[int]], None]:
        """What is to be called with the numbers of a batch's windows before its pass."""


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of windows, longest first, at most `batch_tokens` tokens with padding a batch.

    Longest first, so that a batch that does not fit into memory fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of different length to one tensor [rows, longest], padded on the right."""
    longest = max(len(row) for row in rows)
    padded = np.full((len(rows), longest), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return torch.from_numpy(padded)


def model_inputs(rows: Sequence[dict[str, Any]], pad_id: int) -> dict[str, torch.Tensor]:
    """Windows to the tensors that every encoder takes."""
    ids = [row["input_ids"] for row in rows]
    inputs = {
        "input_ids": pad(ids, pad_id),
        "attention_mask": pad([[1] * len(row) for row in ids], 0),
    }
    if "token_type_ids" in rows[0]:
        inputs["token_type_ids"] = pad([row["token_type_ids"] for row in rows], 0)
    return inputs


def logits(
    model: Any,
    windows: Dataset,
    pad_id: int,
    hardware: Hardware,
    batch_tokens: int,
    advance: Advance = lambda n: None,
) -> list[np.ndarray]:
    """Logits of every window in the windows' order, float32.

    [labels] a window for a sequence head, [tokens, labels] for a token head (padding removed).
    """
    return _logits(model, windows.to_list(), pad_id, hardware, batch_tokens, advance)


def _logits(
    model: Any,
    rows: Sequence[dict[str, Any]],
    pad_id: int,
    hardware: Hardware,
    batch_tokens: int,
    advance: Advance,
    frozen: Frozen | None = None,
) -> list[np.ndarray]:
    lengths = [len(row["input_ids"]) for row in rows]
    answers: list[np.ndarray | None] = [None] * len(rows)
    of_chosen = (lambda chosen: None) if frozen is None else frozen.of(rows, pad_id, batch_tokens)
    model.eval()
    with torch.inference_mode():
        for chosen in batches(lengths, batch_tokens):
            of_chosen(chosen)
            inputs = model_inputs([rows[i] for i in chosen], pad_id)
            with hardware.autocast():
                out = model(**{k: hardware.moved(v) for k, v in inputs.items()}).logits
            values = out.float().cpu().numpy()
            for index, value in zip(chosen, values, strict=True):
                answers[index] = value[: lengths[index]] if value.ndim == 2 else value
            advance(len(chosen))
    return [answer for answer in answers if answer is not None]


def predict(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: TaskOptions,
    labels: Sequence[str],
    examples: Dataset,
    hardware: Hardware,
    max_tokens: int,
    batch_tokens: int,
    advance: Advance = lambda n: None,
    encode: Encode = encoded,
    frozen: Frozen | None = None,
) -> list[Prediction]:
    """One answer an example, in order."""
    known = (hardware, max_tokens, batch_tokens, advance, encode, frozen)
    (answers,) = predict_all(model, tokenizer, task, labels, [examples], *known)
    return answers


def predict_all(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: TaskOptions,
    labels: Sequence[str],
    sets: Sequence[Dataset],
    hardware: Hardware,
    max_tokens: int,
    batch_tokens: int,
    advance: Advance = lambda n: None,
    encode: Encode = encoded,
    frozen: Frozen | None = None,
) -> list[list[Prediction]]:
    """As `predict` for each of several sets, in one pass: what is of one length goes together,
    whichever set it is of. `frozen`: layers that need not be computed again, see `prefix.py`."""
    windows = [encode(task, examples, tokenizer, labels, max_tokens) for examples in sets]
    rows = [row for some in windows for row in some.to_list()]
    values = _logits(model, rows, _pad_id(tokenizer), hardware, batch_tokens, advance, frozen)
    answers, start = [], 0
    # a model that diverged answers too; that it did is found and said elsewhere
    with np.errstate(invalid="ignore"):
        for examples, some in zip(sets, windows, strict=True):
            its = values[start : start + len(some)]
            answers.append(task.decode(examples, some, its, labels))
            start += len(some)
    return answers


def hidden_states(
    encoder: Any,
    windows: Dataset,
    pad_id: int,
    hardware: Hardware,
    batch_tokens: int,
    advance: Advance = lambda n: None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(window, last hidden states [tokens, hidden] in float32), longest windows first."""
    rows = windows.to_list()
    lengths = [len(row["input_ids"]) for row in rows]
    encoder.eval()
    with torch.inference_mode():
        for chosen in batches(lengths, batch_tokens):
            inputs = model_inputs([rows[i] for i in chosen], pad_id)
            with hardware.autocast():
                out = encoder(**{k: hardware.moved(v) for k, v in inputs.items()})
            states = out.last_hidden_state.float().cpu().numpy()
            for index, state in zip(chosen, states, strict=True):
                yield index, state[: lengths[index]]
            advance(len(chosen))


def embed(
    encoder: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: TaskOptions,
    examples: Dataset,
    hardware: Hardware,
    max_tokens: int,
    batch_tokens: int,
    advance: Advance = lambda n: None,
    encode: Encode = encoded,
) -> np.ndarray | list[np.ndarray]:
    """The frozen encoder's features of every example, in order.

    Sequence tasks: [examples, hidden], the mean over the tokens of all its windows. Tagging: one
    array [words, hidden] an example, the first sub-word of each word (zeros for a word without
    one).
    """
    windows = encode(task, examples, tokenizer, (), max_tokens)
    of_example = windows["example"]
    states = hidden_states(encoder, windows, _pad_id(tokenizer), hardware, batch_tokens, advance)
    size = encoder.config.hidden_size
    if task.model_class == "SequenceClassification":
        sums = np.zeros((len(examples), size), dtype=np.float64)
        tokens = np.zeros(len(examples), dtype=np.int64)
        for index, state in states:
            sums[of_example[index]] += state.sum(axis=0)
            tokens[of_example[index]] += len(state)
        return (sums / np.maximum(tokens, 1)[:, None]).astype(np.float32)
    words = [np.zeros((len(row), size), dtype=np.float32) for row in examples["tokens"]]
    answered = windows["words"]
    for index, state in states:
        for position, word in enumerate(answered[index]):
            if word >= 0:
                words[of_example[index]][word] = state[position]
    return words


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    return int(tokenizer.pad_token_id or 0)
