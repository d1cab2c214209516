"""The most frequent label of the source training data (tagging: tag of its words), always."""

from __future__ import annotations

from collections import Counter

from lowres.baselines import BaselineContext
from lowres.tasks import Prediction

SYSTEM = "majority"


def predict(context: BaselineContext) -> dict[str, list[Prediction]]:
    """Probability: the label's share in the training data. Ties go to the first in the alphabet."""
    gold = context.data.train[context.task.gold_field][:]
    counts = Counter(
        label for answer in gold for label in ([answer] if isinstance(answer, str) else answer)
    )
    label = min(counts, key=lambda name: (-counts[name], name))
    share = counts[label] / counts.total()
    tagging = context.task.gold_field == "tags"
    answers = {}
    for language, test in context.data.tests.items():
        if tagging:
            sizes = [len(tokens) for tokens in test["tokens"][:]]
            answers[language] = [Prediction([label] * n, [share] * n) for n in sizes]
        else:
            answers[language] = [Prediction(label, share)] * len(test)
    return answers
