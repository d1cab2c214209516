"""Texts longer than `max_tokens` become several windows; shared by the tasks.

A sequence of sub-words is cut into the fewest windows that hold it, equally long (±1) and without
overlap: an overlap would count some words twice when the windows' answers are averaged. Every
window gets the tokenizer's own special tokens around it, exactly where the tokenizer puts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lowres.errors import BaseModelError
from lowres.tasks import Prediction

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Label id that the cross-entropy of torch skips."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Template:
    """Special tokens that a tokenizer puts around one text, or around and between two.

    `types`: token type of the first text and of the second, None where the base has no types.
    """

    prefix: tuple[int, ...]
    between: tuple[int, ...]
    suffix: tuple[int, ...]
    types: tuple[tuple[int, ...], int, tuple[int, ...], int, tuple[int, ...]] | None

    @property
    def size(self) -> int:
        return len(self.prefix) + len(self.between) + len(self.suffix)

    def wrap(self, first: Sequence[int], second: Sequence[int] = ()) -> list[int]:
        return [*self.prefix, *first, *self.between, *second, *self.suffix]

    def token_types(self, first: int, second: int) -> list[int]:
        """Token types of a pair of `first` and `second` sub-words."""
        assert self.types is not None
        prefix, a, between, b, suffix = self.types
        return [*prefix, *[a] * first, *between, *[b] * second, *suffix]


def template(tokenizer: PreTrainedTokenizerBase, *, pair: bool) -> Template:
    """Read the special tokens off one encoded example.

    Reading them off keeps the tokenizer's post-processor the only authority, whatever the family.
    Raises `BaseModelError` when it marks them in a way that cannot be read.
    """
    texts = ("a", "b") if pair else ("a",)
    encoded = tokenizer(*texts, return_special_tokens_mask=True, return_token_type_ids=True)
    ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    types = list(encoded["token_type_ids"])
    bare = [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    start = special.index(0) if 0 in special else len(ids)
    first_end = start + len(bare[0])
    second_start, end = first_end, first_end
    if pair:
        second_start = next((i for i in range(first_end, len(ids)) if not special[i]), len(ids))
        end = second_start + len(bare[1])
    found = [ids[start:first_end], *([ids[second_start:end]] if pair else [])]
    if found != bare or not all(special[end:]):
        raise BaseModelError(
            f"the tokenizer {tokenizer.name_or_path!r} puts special tokens inside the text "
            f"({ids} for {texts}): choose a base whose tokenizer frames the text with them"
        )
    has_types = pair and "token_type_ids" in tokenizer.model_input_names
    return Template(
        tuple(ids[:start]),
        tuple(ids[first_end:second_start]),
        tuple(ids[end:]),
        (
            (
                tuple(types[:start]),
                types[start],
                tuple(types[first_end:second_start]),
                types[second_start],
                tuple(types[end:]),
            )
            if has_types
            else None
        ),
    )


def room_for(special_tokens: int, max_tokens: int) -> int:
    """Sub-words of text that a window holds; raises `BaseModelError` when there are none."""
    room = max_tokens - special_tokens
    if room < 2:
        raise BaseModelError(
            f"train.max_tokens {max_tokens} leaves no room beside the {special_tokens} special "
            f"tokens of this tokenizer: set it to {special_tokens + 8} or more"
        )
    return room


def parts(ids: Sequence[int], room: int) -> list[Sequence[int]]:
    """The fewest runs of at most `room` sub-words, equally long (±1); one run of none for none."""
    count = max(1, -(-len(ids) // room))
    borders = [len(ids) * i // count for i in range(count + 1)]
    return [ids[a:b] for a, b in pairwise(borders)]


def pieces(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Sub-word ids of every text, special tokens left out. `verbose=False`: nothing is too long
    here, windows come later."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [list(ids) for ids in encoded["input_ids"]]


def column(examples: Dataset, name: str) -> list[Any]:
    """One column as a list."""
    values: list[Any] = examples.with_format(None)[name][:]
    return values


def label_ids(examples: Dataset, field: str, labels: Sequence[str]) -> list[int] | None:
    """Label id of every example, -100 for a label not in `labels`; None without gold answers."""
    if field not in examples.column_names:
        return None
    known = {label: i for i, label in enumerate(labels)}
    return [known.get(label, IGNORED) for label in column(examples, field)]


def probabilities(logits: npt.ArrayLike) -> Floats:
    """Softmax over the last axis, in float64."""
    values = np.asarray(logits, dtype=np.float64)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    result: Floats = values / values.sum(axis=-1, keepdims=True)
    return result


def pool(
    count: int, windows: Dataset, logits: Sequence[npt.ArrayLike], labels: Sequence[str]
) -> list[Prediction]:
    """Window logits [labels] to one label for each of `count` examples.

    The probabilities of an example's windows are averaged, weighted by the windows' length.
    """
    if count == 0:
        return []
    example = np.asarray(column(windows, "example"), dtype=np.int64)
    length = np.asarray([len(ids) for ids in column(windows, "input_ids")], dtype=np.float64)
    shares = probabilities(np.asarray(logits)) * length[:, None]
    sums = np.zeros((count, len(labels)))
    np.add.at(sums, example, shares)
    means = sums / np.bincount(example, weights=length, minlength=count)[:, None]
    best = means.argmax(axis=1)
    return [Prediction(labels[b], float(p)) for b, p in zip(best, means.max(axis=1), strict=True)]
