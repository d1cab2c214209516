"""Logistic regression as all baselines use it: quiet, deterministic, at ease with one class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Classifier:
    """Multinomial logistic regression (lbfgs). One class in training: always that class."""

    def __init__(self, penalty_inverse: float, iterations: int = 1000) -> None:
        self._penalty_inverse = penalty_inverse
        self._iterations = iterations
        self._model: Any = None
        self._labels: list[str] = []

    def fit(self, features: Any, labels: Sequence[str]) -> Classifier:
        """Features [examples, F], dense or sparse, to weights."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        if len(set(labels)) == 1:
            self._labels = [labels[0]]
            return self
        with warnings.catch_warnings():
            # An optimiser a hair short of its tolerance is still a baseline; readers of a run
            # can do nothing about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model = LogisticRegression(
                C=self._penalty_inverse, max_iter=self._iterations
            ).fit(features, np.asarray(labels))
        self._labels = [str(label) for label in self._model.classes_]
        return self

    def predict(self, features: Any) -> tuple[list[str], npt.NDArray[np.float64]]:
        """Features [n, F] to n labels and their probabilities [n]."""
        count = features.shape[0]
        if self._model is None or count == 0:
            return self._labels[:1] * count, np.ones(count)
        shares = self._model.predict_proba(features)
        return [self._labels[i] for i in shares.argmax(axis=1)], shares.max(axis=1)
