"""One label a text: topics, news, sentiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lowres.tasks import Prediction, TaskOptions

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


class Options(TaskOptions):
    """One label a text."""

    name: Literal["classification"]

    fields: ClassVar[tuple[str, ...]] = ("text", "label")
    gold_field: ClassVar[str] = "label"
    model_class: ClassVar[Literal["SequenceClassification", "TokenClassification"]] = (
        "SequenceClassification"
    )
    lexical_baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf")
    possible_metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "accuracy")

    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Macro-F1 first: classes are unbalanced here, and accuracy hides the rare ones."""
        return ("macro_f1", "accuracy")

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_tokens: int,
    ) -> Dataset:
        """Every text to its windows (see `_windows`); each carries the label of its text."""
        from datasets import Dataset

        from lowres.tasks import _windows

        frame = _windows.template(tokenizer, pair=False)
        room = _windows.room_for(frame.size, max_tokens)
        gold = _windows.label_ids(examples, self.gold_field, labels)
        rows: dict[str, list[Any]] = {"input_ids": [], "example": []}
        for index, ids in enumerate(_windows.pieces(tokenizer, _windows.column(examples, "text"))):
            for part in _windows.parts(ids, room):
                rows["input_ids"].append(frame.wrap(part))
                rows["example"].append(index)
        if gold is not None:
            rows["labels"] = [gold[index] for index in rows["example"]]
        return Dataset.from_dict(rows)

    def decode(
        self,
        examples: Dataset,
        windows: Dataset,
        logits: Sequence[np.ndarray],
        labels: Sequence[str],
    ) -> list[Prediction]:
        """Window logits [labels] to one label a text."""
        from lowres.tasks import _windows

        return _windows.pool(len(examples), windows, logits, labels)

    def read_text(self, line: str) -> dict[str, Any]:
        """The whole line is the text."""
        return {"text": line}
