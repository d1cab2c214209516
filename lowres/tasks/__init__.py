"""What a task is: options in a recipe, examples to windows, logits to answers.

One file adds one task. It defines `Options`, a subclass of `TaskOptions` with a `Literal` name,
and its methods; nothing else in the package names it. Heavy libraries are imported inside methods,
so that `lowres validate` stays light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prediction:
    """The answer to one example.

    `answer` is a label name (classification, pairs) or a list of tag names, exactly one a word
    (tagging). `probability` is that of the answer: one number, or one a word.
    """

    answer: str | list[str]
    probability: float | list[float]


class TaskOptions(BaseModel):
    """Base of every task's section in a recipe; frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    fields: ClassVar[tuple[str, ...]]
    """Canonical columns of an example beside `id`: text, text_pair, label, tokens, tags."""
    gold_field: ClassVar[str]
    """Which of them is the gold answer: label or tags."""
    model_class: ClassVar[Literal["SequenceClassification", "TokenClassification"]]
    """Which transformers Auto class holds the head."""
    lexical_baselines: ClassVar[tuple[str, ...]]
    """Names in `lowres/baselines`, in the order of the table."""
    possible_metrics: ClassVar[tuple[str, ...]]
    """Names in `lowres/metrics` that can score an answer of this task."""

    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Names in `lowres/metrics`; the first chooses checkpoints and heads the table."""
        raise NotImplementedError

    def misfit(self, metric: str, labels: Sequence[str]) -> str | None:
        """Why a metric cannot score these labels; None where it can."""
        return None

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_tokens: int,
    ) -> Dataset:
        """Examples to windows of at most `max_tokens` sub-words; nothing is cut.

        Columns: `input_ids` and `example` (the index of its example); `labels` where the examples
        hold gold answers (a label id; tagging: one id a sub-word, -100 everywhere but on the first
        sub-word of a word that this window answers); tagging: `words`, per sub-word the word it
        answers or -1. Labels not in `labels` become -100.
        """
        raise NotImplementedError

    def decode(
        self,
        examples: Dataset,
        windows: Dataset,
        logits: Sequence[np.ndarray],
        labels: Sequence[str],
    ) -> list[Prediction]:
        """Logits of every window (tagging: [tokens, labels]) to one answer an example, in order.

        Windows of one text are pooled by the mean of their probabilities weighted by their length.
        """
        raise NotImplementedError

    def read_text(self, line: str) -> dict[str, Any]:
        """One line of user input to the fields of an example, for `lowres predict`."""
        raise NotImplementedError

    def notes(
        self, examples: Dataset, tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> tuple[str, ...]:
        """What `encode` had to mend in these examples, a sentence each; none for most tasks."""
        return ()
