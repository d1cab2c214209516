"""The yardstick: the TF-IDF baseline trained on the target's own labels, where there are some."""

from __future__ import annotations

from lowres.baselines import BaselineContext
from lowres.baselines.tfidf import TextClassifier
from lowres.tasks import Prediction

SYSTEM = "tfidf-target"


def predict(context: BaselineContext) -> dict[str, list[Prediction]]:
    """Trained anew for every target with training data; the others are left out."""
    task, data = context.task, context.data
    return {
        language: TextClassifier(task.fields)
        .fit(train, task.gold_field)
        .predict(data.tests[language])
        for language, train in data.target_train.items()
        if language in data.tests and len(train)
    }
