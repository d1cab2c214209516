"""The yardstick: the lookup baseline trained on the target's own tags, where there are some."""

from __future__ import annotations

from lowres.baselines import BaselineContext
from lowres.baselines.lookup import Lexicon
from lowres.tasks import Prediction

SYSTEM = "lookup-target"


def predict(context: BaselineContext) -> dict[str, list[Prediction]]:
    """Trained anew for every target with training data; the others are left out."""
    data = context.data
    return {
        language: Lexicon(train).predict(data.tests[language])
        for language, train in data.target_train.items()
        if language in data.tests and len(train)
    }
