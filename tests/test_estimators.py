"""The estimators: what scikit-learn asks of any, and what text is beside that."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_study
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import lowres
from lowres.errors import DeviceError, InputError, LowresError
from lowres.estimators import LowResClassifier, LowResTagger

FLOAT = {"train.precision": "fp32"}
TINY: dict[str, Any] = {
    "quantization": "none",
    "epochs": 3,
    "learning_rate": 1e-2,
    "head_learning_rate": 3e-2,
    "batch": 8,
    "max_tokens": 24,
    "rank": 4,
    "keys": FLOAT,
}


@pytest.fixture(scope="module")
def base(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random encoder that learns in seconds; the same one whatever was drawn before."""
    torch.manual_seed(0)
    return str(tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base")))


def texts(count: int, seed: int) -> tuple[list[str], list[str]]:
    rows = tiny_study.examples("classification", count, seed)
    return [row["text"] for row in rows], [row["label"] for row in rows]


def tagged(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    rows = tiny_study.examples("tagging", count, seed)
    return [row["tokens"] for row in rows], [row["tags"] for row in rows]


@pytest.fixture(scope="module")
def classifier(base: str) -> LowResClassifier:
    return LowResClassifier(base, **TINY).fit(*texts(60, 1))


class OfNumbers(LowResClassifier):
    """Reads a row of numbers as words, so that scikit-learn's checks, which know numbers only, run.

    What it adds is what a step before the classifier does in a pipeline: it validates numbers.
    """

    def fit(self, X: Any, y: Any) -> OfNumbers:  # noqa: N803
        if y is None:
            super().fit(["a"], y)
        rows, gold = validate_data(self, X, y)
        super().fit(said(rows), gold)
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        check_is_fitted(self)
        return super().predict_proba(said(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        tags.classifier_tags.poor_score = True  # two layers of random numbers, six steps
        return tags


def said(rows: Any) -> list[str]:
    """Every number as one of three words."""
    words = np.array(["river", "market", "doctor"])
    return [" ".join(words[np.digitize(row, [-0.5, 0.5])][:20]) for row in rows]


# none is expected to fail: only that of defaults skips itself, which a random base cannot have
@parametrize_with_checks([OfNumbers("", **{**TINY, "epochs": 2})])
@pytest.mark.filterwarnings("ignore:OfNumbers. training:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
def test_what_scikit_learn_asks(estimator: Any, check: Any, base: str) -> None:
    check(estimator.set_params(base=base))


def test_text_is_learnt_and_answered(classifier: LowResClassifier) -> None:
    X, y = texts(60, 2)  # noqa: N806
    assert classifier.outcome_.status == "ok"
    assert classifier.score(X, y) > 0.9
    shares = classifier.predict_proba(np.array(X, dtype=object))
    assert shares.shape == (60, 3)
    assert np.allclose(shares.sum(axis=1), 1)
    assert classifier.classes_.tolist() == ["health", "nature", "trade"]
    assert classifier.predict(X).tolist() == classifier.classes_[shares.argmax(axis=1)].tolist()
    assert classifier.predict_proba([""]).shape == (1, 3)


def test_the_same_fit_gives_the_same_and_leaves_chance_alone(
    base: str, classifier: LowResClassifier
) -> None:
    import random

    import torch

    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = (torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1])
    X, y = texts(60, 1)  # noqa: N806
    again = clone(classifier).fit(X, y)
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert torch.equal(torch.random.get_rng_state(), expected[0])
    assert random.getstate() == expected[1]
    assert np.array_equal(np.random.get_state()[1], expected[2])
    other = clone(classifier).set_params(random_state=2).fit(X, y)
    assert not np.array_equal(other.predict_proba(X), again.predict_proba(X))
    drawn = clone(classifier).set_params(random_state=np.random.RandomState(7)).fit(X, y)
    assert drawn.outcome_.seed == np.random.RandomState(7).randint(2**31)


def test_whole_numbers_come_back_as_they_were(base: str) -> None:
    X, y = texts(40, 1)  # noqa: N806
    numbers = [10 if label == "trade" else 9 for label in y]
    found = LowResClassifier(base, **{**TINY, "epochs": 6}).fit(X, numbers)
    assert found.classes_.tolist() == [9, 10]  # and not as words, where 10 comes first
    assert found.score(X, numbers) > 0.9
    assert found.adapter_.loaded.labels == ("9", "10")


READ = """
import pickle, sys
found = pickle.load(open(sys.argv[1], "rb"))
print(found.predict_proba(sys.argv[2:]).tobytes().hex())
"""


def test_it_travels_by_pickle_and_as_an_adapter_folder(
    classifier: LowResClassifier, tmp_path: Path
) -> None:
    X, _ = texts(9, 4)  # noqa: N806
    shares = classifier.predict_proba(X)
    file = tmp_path / "classifier.pickle"
    file.write_bytes(pickle.dumps(classifier))
    assert file.stat().st_size < 500_000, "the base is in it"
    words = [sys.executable, "-c", READ, str(file), *X]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.allclose(np.frombuffer(bytes.fromhex(done.stdout)).reshape(9, 3), shares, atol=1e-6)
    assert np.array_equal(copy.deepcopy(classifier).predict_proba(X), shares)
    folder = classifier.adapter_.write(tmp_path / "adapter")
    adapter = lowres.load(folder)
    assert [a.answer for a in adapter.predict(X)] == classifier.predict(X).tolist()
    assert adapter.predict_proba(X).shape == (9, 3)
    with pytest.raises(LowresError, match="exists already"):
        classifier.adapter_.write(folder)


def test_dev_examples_of_ones_own_choose_the_checkpoint(base: str) -> None:
    (X, y), dev = texts(40, 1), texts(18, 2)  # noqa: N806
    found = LowResClassifier(base, **TINY).fit(X, y, *dev)
    right = np.mean(found.predict(dev[0]) == np.array(dev[1]))
    assert (right == 1.0) == (found.outcome_.dev == 1.0)
    with pytest.raises(InputError, match=r"^y_dev: sports: y never shows this; it has health"):
        LowResClassifier(base, **TINY).fit(X, y, ["a"], ["sports"])
    with pytest.raises(InputError, match="y_dev: expected a list of labels, got NoneType"):
        LowResClassifier(base, **TINY).fit(X, y, ["a"])


@pytest.mark.slow
def test_a_grid_search_over_keys_of_a_recipe(base: str) -> None:
    X, y = texts(60, 1)  # noqa: N806
    grid = {"rank": np.array([2, 4]), "learning_rate": [1e-2, 1e-5]}
    search = GridSearchCV(LowResClassifier(base, **TINY), grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    assert search.best_params_["learning_rate"] in grid["learning_rate"]
    assert search.best_estimator_.score(X, y) > 0.5


def test_a_training_that_fails_is_said(base: str) -> None:
    X, dev = texts(44, 1)[0], texts(18, 2)  # noqa: N806
    trap = [*["trade"] * 42, "health", "nature"]
    with pytest.warns(ConvergenceWarning, match="LowResClassifier: training collapsed, even at"):
        found = LowResClassifier(base, **{**TINY, "epochs": 1}).fit(X, trap, *dev)
    assert found.outcome_.retried
    assert set(found.predict(dev[0])) == {"trade"}


def test_a_base_larger_than_the_memory(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=2**20, available=2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    with pytest.raises(DeviceError, match=r"^LowResClassifier: base .*: its weights take "):
        LowResClassifier(base, **TINY).fit(*texts(44, 1))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"X": "a text"}, "X: expected a list of texts, got str"),
        ({"X": ["a", 1]}, r"X\[1\]: expected a text, got int"),
        ({"X": ["a", None]}, r"X\[1\]: expected a text, got NoneType"),
        (
            {"X": np.array([["a", "b"]])},
            r"X: expected a list of texts, .* of shape \(1, 2",
        ),
        ({"X": 3}, "X: expected a list of texts, got int"),
        ({"X": []}, "X: expected a list of texts, got 0 samples"),
        ({"y": ["x", "x"]}, r"y: shows one class \(x\); a classifier needs at least two"),
        ({"y": None}, "requires y to be passed, but the target y is None"),
        ({"y": ["a"]}, "inconsistent numbers of samples"),
        ({"y": [0.5, 1.5]}, "Unknown label type: continuous"),
        ({"epochs": -1}, "LowResClassifier: train.epochs: input should be greater than 0, not -1"),
        (
            {"keys": {"train.epoch": 1}},
            "LowResClassifier: unknown key train.epoch; did you mean 'epochs'",
        ),
        ({"keys": {"data.files": "x"}}, "LowResClassifier: data.files: expected a key of base, "),
        ({"keys": {"train.augment": []}}, "train.augment: expected a key of base, lora, train"),
        ({"keys": {"train": {}}}, "LowResClassifier: train: expected a key of base"),
        ({"base": "no such base"}, "LowResClassifier: base: unknown base 'no such base'"),
    ],
)
def test_bad_input(base: str, given: dict[str, Any], says: str) -> None:
    plain = {"X": ["a", "b"], "y": ["x", "z"], **given}
    X, y = plain.pop("X"), plain.pop("y")  # noqa: N806
    with pytest.raises((LowresError, ValueError), match=says) as caught:
        LowResClassifier(**{"base": base, **TINY, **plain}).fit(X, y)
    assert isinstance(caught.value, ValueError) or not given.keys() & {"X", "y"}


def test_tags_are_learnt_and_answered_word_by_word(base: str, tmp_path: Path) -> None:
    X, y = tagged(60, 1)  # noqa: N806
    tagger = LowResTagger(base, **TINY)
    with pytest.raises(NotFittedError):
        tagger.predict(X)
    assert tagger.fit(X, y) is tagger
    assert tagger.classes_.tolist() == ["O", "B-LOC", "I-LOC"]
    asked, gold = tagged(30, 2)
    assert tagger.score(asked, gold) > 0.8
    wordless = [*asked, [], ["river"] * 100]
    shares = tagger.predict_proba(wordless)
    assert [rows.shape for rows in shares] == [(len(words), 3) for words in wordless]
    assert all(np.allclose(rows.sum(axis=1), 1) for rows in shares)
    assert [len(tags) for tags in tagger.predict(wordless)] == [len(words) for words in wordless]
    again = pickle.loads(pickle.dumps(tagger))
    assert again.predict(wordless) == tagger.predict(wordless)
    adapter = lowres.load(tagger.adapter_.write(tmp_path / "adapter"))
    answers = adapter.predict(" ".join(words) for words in asked)
    assert [answer.answer for answer in answers] == tagger.predict(asked)
    lines = adapter.predict_proba([" ".join(words) for words in asked])
    assert [rows.shape for rows in lines] == [(len(words), 3) for words in asked]
    assert clone(tagger).get_params() == tagger.get_params()


@pytest.mark.parametrize(
    ("X", "y", "says"),
    [
        (["a text"], [["O"]], r"X\[0\]: expected a list of words .*split.*, got str"),
        ([["a", "b"]], [["O"]], r"y\[0\]: 1 tags for 2 words"),
        ([["a"], ["b"]], [["O"], ["O"]], r"y: shows one tag \(O\)"),
        ([["a", " "]], [["O", "B-X"]], r"X\[0\]: expected words, got ' '"),
        ([["a"]], [["O"], ["B-X"]], "inconsistent numbers of samples"),
        ([["a"]], None, "y: expected a list of sentences, got NoneType"),
    ],
)
def test_bad_sentences(base: str, X: Any, y: Any, says: str) -> None:  # noqa: N803
    with pytest.raises(ValueError, match=says):
        LowResTagger(base, **TINY).fit(X, y)


def test_importing_the_package_does_not_import_scikit_learn() -> None:
    code = "import sys, lowres; assert 'sklearn' not in sys.modules; lowres.LowResTagger"
    subprocess.run([sys.executable, "-c", code], check=True)
