"""Estimators for scikit-learn: an adapter is trained by `fit`, and answers by `predict`."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from lowres import in_memory, labels, stats
from lowres.errors import InputError, reworded
from lowres.in_memory import Examples, Trained

if TYPE_CHECKING:
    from typing import Self

    from lowres.recipe import Recipe

HOLD_OUT: Final = 10
"""Without dev examples every tenth is held out; of fewer than ten none, and the same examples
choose the checkpoint."""
Shares = npt.NDArray[np.float64]


class _OfText(BaseEstimator):
    """What both estimators are told; scikit-learn reads the parameters off this signature."""

    def __init__(
        self,
        base: str = "xlm-roberta-base",
        *,
        quantization: str | None = None,
        epochs: float | None = None,
        learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        batch: int | None = None,
        max_tokens: int | None = None,
        rank: int | None = None,
        keys: dict[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.base = base
        self.quantization = quantization
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.batch = batch
        self.max_tokens = max_tokens
        self.rank = rank
        self.keys = keys
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Text, not numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


class LowResClassifier(ClassifierMixin, _OfText):
    """One label a text: a multilingual encoder with LoRA, as `task: classification` in a recipe.

    What stays None is the recipe's default, which the reference lists.

    Args:
        base: encoder, by name (`lowres ls bases`), Hub id or folder.
        quantization: `base.quantization`: `8bit`, `4bit` or `none`.
        epochs: `train.epochs`.
        learning_rate: `train.learning_rate`, of the LoRA weights.
        head_learning_rate: `train.head_learning_rate`, of the head.
        batch: `train.batch`, examples an optimiser step.
        max_tokens: `train.max_tokens`, sub-words a window; longer texts are several windows.
        rank: `lora.rank`.
        keys: any other key of `base`, `lora`, `train` or `evaluate`, such as `{"lora.dropout": 0}`.
        random_state: seed, or generator to draw one from; None is the recipe's first seed, so that
            two fits give the same.

    Attributes (after `fit`):
        classes_: labels as they were given, sorted; [classes].
        adapter_: the adapter's files; `adapter_.write(folder)` makes the folder that `lowres.load`,
            `lowres predict` and peft read.
        outcome_: how training ended: status, score on the dev examples, steps, curves.
    """

    def fit(self, X: Any, y: Any, X_dev: Any = None, y_dev: Any = None) -> Self:  # noqa: N803
        """Train on texts and their labels.

        Args:
            X: texts, [examples].
            y: labels, [examples]; strings or whole numbers.
            X_dev: texts that the checkpoint is chosen by; by default every tenth of `X` is held
                out for that, class by class.
            y_dev: their labels.

        Raises:
            InputError: a `ValueError`: texts that are none, labels of one class, dev labels that
                `y` lacks.
            LowresError: a base that cannot be had, a key that no recipe has.
        """
        texts, gold = _texts(X), self._labels(y)
        check_consistent_length(texts, gold)
        self.classes_, codes = np.unique(gold, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"y: shows one class ({self.classes_[0]}); a classifier needs at least two"
            )
        names = [str(name) for name in self.classes_]
        known = [names[code] for code in codes]
        if X_dev is None:
            shown, dev = _held_out(texts, known)
        else:
            shown, dev = Examples(texts, known), Examples(_texts(X_dev, "X_dev"), _dev(y_dev))
            check_consistent_length(dev.inputs, dev.gold)
            _check_known(dev.gold, names)
        trained = _fit(self, "classification", names, shown, dev)
        self.adapter_, self.outcome_ = trained.adapter, trained.outcome
        return self

    def _labels(self, y: Any) -> npt.NDArray[Any]:
        if y is None:
            raise InputError(
                "requires y to be passed, but the target y is None: give a label a text"
            )
        gold = column_or_1d(y, warn=True)
        check_classification_targets(gold)
        return np.asarray(gold)

    def predict_proba(self, X: Any) -> Shares:  # noqa: N803
        """Probabilities of all classes in the order of `classes_`, [examples, classes]."""
        check_is_fitted(self)
        shares = self.adapter_.loaded.shares({"text": _texts(X)})
        return np.asarray(shares, dtype=np.float64).reshape(-1, len(self.classes_))

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The likeliest class of each text, [examples]."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Accuracy, 0 to 1, as every classifier of scikit-learn has it; the scores of runs are
        macro-F1. `sample_weight`: what each example counts, [examples]."""
        return float(super().score(X, y, sample_weight))


class LowResTagger(_OfText):
    """One tag a word: parts of speech, entities; as `task: tagging` in a recipe.

    Arguments and attributes are those of `LowResClassifier`; `classes_` has `O` first, and BIO tags
    with their partners (`I-LOC` where only `B-LOC` was seen).
    """

    def fit(self, X: Any, y: Any, X_dev: Any = None, y_dev: Any = None) -> Self:  # noqa: N803
        """Train on sentences and their tags.

        Args:
            X: sentences as lists of words.
            y: lists of tags, one a word.
            X_dev: sentences that the checkpoint is chosen by; by default every tenth of `X` is held
                out for that.
            y_dev: their tags.

        Raises:
            InputError: a `ValueError`: sentences that are no lists of words, another number of
                tags than words, one tag only, dev tags that `y` lacks.
            LowresError: a base that cannot be had, a key that no recipe has.
        """
        sentences = _sentences(X)
        tags = _tags(y, sentences, "y")
        names = labels.ordered({tag for row in tags for tag in row})
        if len(names) < 2:
            raise InputError(f"y: shows one tag ({', '.join(names)}); at least two are needed")
        if X_dev is None:
            shown, dev = _held_out(sentences, tags)
        else:
            held = _sentences(X_dev, "X_dev")
            shown, dev = Examples(sentences, tags), Examples(held, _tags(y_dev, held, "y_dev"))
            _check_known([tag for row in dev.gold for tag in row], names)
        trained = _fit(self, "tagging", names, shown, dev)
        self.classes_ = np.array(names)
        self.adapter_, self.outcome_ = trained.adapter, trained.outcome
        self._metric = trained.metric
        return self

    def predict_proba(self, X: Any) -> list[Shares]:  # noqa: N803
        """Probabilities of all tags in the order of `classes_`: [words, tags] a sentence."""
        check_is_fitted(self)
        shares = self.adapter_.loaded.shares({"tokens": _sentences(X)})
        return [np.asarray(rows, dtype=np.float64) for rows in shares]

    def predict(self, X: Any) -> list[list[str]]:  # noqa: N803
        """The likeliest tag of each word, a list a sentence."""
        return [self.classes_[rows.argmax(axis=1)].tolist() for rows in self.predict_proba(X)]

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Span F1 where the tags are BIO, else accuracy over words; 0 to 1."""
        sentences = _sentences(X)
        gold = _tags(y, sentences, "y")
        return stats.value_of(self._metric, gold, self.predict(X), self.classes_.tolist())


def _fit(
    estimator: Any, task: str, names: Sequence[str], shown: Examples, dev: Examples
) -> Trained:
    """Train as the estimator's parameters say; a training that failed is warned of."""
    whose = type(estimator).__name__
    recipe = in_memory.recipe_of(task, _keys(estimator), whose)
    seed = _seed(estimator.random_state, recipe)
    # an error about the key names the argument
    with reworded(lambda said: said.replace("base.name", f"{whose}: base", 1)):
        trained = in_memory.train(recipe, names, shown, dev, seed)
    if trained.outcome.status != "ok":
        warnings.warn(
            f"{whose}: training {trained.outcome.status}, even at half the learning rate: its "
            "answers are worth nothing; try other rates, more epochs or more examples",
            ConvergenceWarning,
            stacklevel=3,
        )
    return trained


def _keys(estimator: Any) -> dict[str, Any]:
    return {
        "base.name": str(estimator.base),
        "base.quantization": estimator.quantization,
        "train.epochs": estimator.epochs,
        "train.learning_rate": estimator.learning_rate,
        "train.head_learning_rate": estimator.head_learning_rate,
        "train.batch": estimator.batch,
        "train.max_tokens": estimator.max_tokens,
        "lora.rank": estimator.rank,
        **(estimator.keys or {}),
    }


def _seed(given: Any, recipe: Recipe) -> int:
    if given is None:
        return recipe.seeds[0]
    if isinstance(given, numbers.Integral):
        return int(given)
    return int(check_random_state(given).randint(2**31))


def _texts(given: Any, name: str = "X") -> list[str]:
    """Texts, [examples]."""
    rows = _rows(given, name, "a list of texts")
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            raise InputError(f"{name}[{number}]: expected a text, got {type(row).__name__}")
    return [str(row) for row in rows]


def _sentences(given: Any, name: str = "X") -> list[list[str]]:
    """Sentences as lists of words."""
    found = []
    for number, row in enumerate(_rows(given, name, "a list of sentences")):
        what = f"{name}[{number}]"
        words = _rows(row, what, "a list of words (a text can be split: text.split())")
        for word in words:
            if not isinstance(word, str) or not word.strip():
                raise InputError(f"{what}: expected words, got {word!r}")
        found.append([str(word) for word in words])
    return found


def _tags(given: Any, sentences: Sequence[Sequence[str]], name: str) -> list[list[str]]:
    found = _sentences(given, name)
    check_consistent_length(sentences, found)
    for number, (words, tags) in enumerate(zip(sentences, found, strict=True)):
        if len(words) != len(tags):
            raise InputError(f"{name}[{number}]: {len(tags)} tags for {len(words)} words")
    return found


def _rows(given: Any, name: str, expected: str) -> list[Any]:
    if given is None or isinstance(given, str | bytes) or getattr(given, "ndim", 1) != 1:
        shape = f" of shape {given.shape}" if hasattr(given, "shape") else ""
        raise InputError(f"{name}: expected {expected}, got {type(given).__name__}{shape}")
    try:
        rows = list(given)
    except TypeError:
        raise InputError(f"{name}: expected {expected}, got {type(given).__name__}") from None
    if not rows and name in ("X", "y"):
        raise InputError(f"{name}: expected {expected}, got 0 samples")
    return rows


def _dev(y_dev: Any) -> list[str]:
    return [str(label) for label in _rows(y_dev, "y_dev", "a list of labels")]


def _check_known(shown: Sequence[str], names: Sequence[str]) -> None:
    strange = sorted(set(shown) - set(names))
    if strange:
        raise InputError(
            f"y_dev: {', '.join(strange)}: y never shows this; it has {', '.join(names)}"
        )


def _held_out(inputs: Sequence[Any], gold: Sequence[Any]) -> tuple[Examples, Examples]:
    """(to learn from, to choose by): every tenth by label, never the only one of its label."""
    order = sorted(range(len(inputs)), key=lambda i: gold[i] if isinstance(gold[i], str) else "")
    held = set(order[HOLD_OUT // 2 :: HOLD_OUT]) if len(inputs) >= HOLD_OUT else set()
    if gold and isinstance(gold[0], str):
        held = {i for i in held if gold.count(gold[i]) > 1}
    if not held:
        return Examples(inputs, gold), Examples(inputs, gold)
    parts = [[i for i in range(len(inputs)) if (i in held) == is_dev] for is_dev in (False, True)]
    shown, dev = (Examples([inputs[i] for i in p], [gold[i] for i in p]) for p in parts)
    return shown, dev
