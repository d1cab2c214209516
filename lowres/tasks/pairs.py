"""One label a pair of texts: natural language inference and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lowres.errors import DataError
from lowres.tasks import Prediction, TaskOptions

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


class Options(TaskOptions):
    """One label a pair of texts (premise and hypothesis)."""

    name: Literal["pairs"]

    fields: ClassVar[tuple[str, ...]] = ("text", "text_pair", "label")
    gold_field: ClassVar[str] = "label"
    model_class: ClassVar[Literal["SequenceClassification", "TokenClassification"]] = (
        "SequenceClassification"
    )
    lexical_baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf")
    possible_metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "accuracy")

    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Accuracy first: NLI sets are balanced by design and published in accuracy."""
        return ("accuracy", "macro_f1")

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_tokens: int,
    ) -> Dataset:
        """Every pair to its windows; a column `token_type_ids` comes along where the base has them.

        A pair too long for one window: the longer side is cut into windows and the other repeated
        in each. Where the shorter side alone fills more than half a window, it is cut as well, and
        every part of one side meets every part of the other.
        """
        from datasets import Dataset

        from lowres.tasks import _windows

        frame = _windows.template(tokenizer, pair=True)
        room = _windows.room_for(frame.size, max_tokens)
        gold = _windows.label_ids(examples, self.gold_field, labels)
        rows: dict[str, list[Any]] = {"input_ids": [], "example": []}
        types: list[list[int]] = []
        first = _windows.pieces(tokenizer, _windows.column(examples, "text"))
        second = _windows.pieces(tokenizer, _windows.column(examples, "text_pair"))
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            for part_a, part_b in _both_sides(a, b, room):
                rows["input_ids"].append(frame.wrap(part_a, part_b))
                rows["example"].append(index)
                if frame.types is not None:
                    types.append(frame.token_types(len(part_a), len(part_b)))
        if frame.types is not None:
            rows["token_type_ids"] = types
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
        """Window logits [labels] to one label a pair."""
        from lowres.tasks import _windows

        return _windows.pool(len(examples), windows, logits, labels)

    def read_text(self, line: str) -> dict[str, Any]:
        """Two texts with a tab between them; raises `DataError` for anything else."""
        sides = line.split("\t")
        if len(sides) != 2:
            raise DataError(
                f"expected two texts with one tab between them, found {len(sides)} part(s) in "
                f"{line[:60]!r}: write `premise<TAB>hypothesis`"
            )
        return {"text": sides[0], "text_pair": sides[1]}


def _both_sides(
    a: Sequence[int], b: Sequence[int], room: int
) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Parts of both sides that fit `room` together, so that all of a meets all of b."""
    from lowres.tasks import _windows

    if len(a) + len(b) <= room:
        return [(a, b)]
    shorter = _windows.parts(min(a, b, key=len), room // 2)
    left = room - max(len(part) for part in shorter)
    longer = _windows.parts(max(b, a, key=len), left)
    return list(product(longer, shorter) if len(a) > len(b) else product(shorter, longer))
