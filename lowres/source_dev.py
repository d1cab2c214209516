"""The source's dev set, which checkpoints are chosen by; no target's ever is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lowres import inference
from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.inference import Frozen
from lowres.recipe import Recipe
from lowres.shared import Shared
from lowres.stats import collapsed, value_of
from lowres.training_callbacks import from_main

ALIKE: Final = 9
"""Digits behind the point in which scores differ: sums in another order are no other score."""


class SourceDev:
    """The source's dev set, as the model answers it."""

    def __init__(
        self,
        recipe: Recipe,
        data: LabelledData,
        tokenizer: Any,
        hardware: Hardware,
        shared: Shared,
        frozen: Frozen | None = None,
    ) -> None:
        self.metric = chosen_metric(recipe, data.labels)
        self._recipe = recipe
        self._data = data
        self._tokenizer = tokenizer
        self._hardware = hardware
        self._shared = shared
        self._frozen = frozen
        self._gold = list(data.dev[recipe.task.gold_field])
        self._collapsed: dict[float, bool | None] = {}
        """By score; None where networks of one score differ."""

    def score(self, network: Any) -> float:
        """The metric that checkpoints are chosen by."""
        answers = self._answers(network)
        score = value_of(self.metric, self._gold, answers, self._data.labels)
        # two kinds of GPU may differ in the last digit, and then about the best checkpoint
        score, flat = from_main((float(score), collapsed(answers, self._gold)))
        key = round(score, ALIKE)
        self._collapsed[key] = flat if self._collapsed.get(key, flat) == flat else None
        return float(score)

    def collapsed(self, network: Any, score: float) -> bool:
        """Whether nearly all answers are one label; `score` is what the network has, which saves
        asking it once more."""
        known = self._collapsed.get(round(score, ALIKE))
        if known is None:  # a resumed training
            known = from_main(collapsed(self._answers(network), self._gold))
        return bool(known)

    def _answers(self, network: Any) -> list[Any]:
        recipe = self._recipe
        answers = inference.predict(
            network,
            self._tokenizer,
            recipe.task,
            self._data.labels,
            self._data.dev,
            self._hardware,
            recipe.train.max_tokens,
            recipe.evaluate.batch_tokens,
            encode=self._shared.windows,
            frozen=self._frozen,
        )
        return [answer.answer for answer in answers]


def chosen_metric(recipe: Recipe, labels: Sequence[str]) -> str:
    """The metric that checkpoints are chosen by: the recipe's first, or the task's own."""
    if recipe.evaluate.metrics != "auto":
        return recipe.evaluate.metrics[0]
    return str(recipe.task.metrics(labels)[0])
