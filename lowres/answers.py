"""What `lowres predict` says of one text, as an object, a JSON line and a CSV record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from lowres.tasks import Prediction

if TYPE_CHECKING:
    from datasets import Dataset

Format = Literal["jsonl", "csv"]


@dataclass(frozen=True)
class Entity:
    """A span of words with one label, such as the name of a person."""

    text: str
    label: str
    start: int
    """Of its first character in the line, counted in Unicode code points from 0."""
    end: int
    """After its last character: `line[start:end]` is `text`."""
    probability: float
    """The least of its words' tags': one wrong tag makes a wrong span."""


@dataclass(frozen=True)
class Answer:
    """The answer to one text; fields that its task has not are None."""

    answer: str | list[str]
    """A label, or one tag a word."""
    probability: float | list[float]
    """Of the answer: one number, or one a word."""
    probabilities: dict[str, float] | None = None
    """Of every label, where they were asked for."""
    words: list[str] | None = None
    """What the tags are of."""
    entities: list[Entity] | None = None
    """Where the tags are BIO."""

    def row(self) -> dict[str, Any]:
        """As in a JSON line."""
        plain = {key: value for key, value in asdict(self).items() if value is not None}
        return {"predicted": plain.pop("answer"), **plain}


def of_label(
    predicted: Prediction, shares: Sequence[float] | None, labels: Sequence[str]
) -> Answer:
    """The answer of a task with one label a text; `shares` are those of all labels."""
    every = None
    if shares is not None:
        every = {label: float(share) for label, share in zip(labels, shares, strict=True)}
    return Answer(predicted.answer, predicted.probability, every)


def of_words(predicted: Prediction, words: Sequence[str], line: str, bio: bool) -> Answer:
    """The answer of a tagging task; `words` are those of the line, in order."""
    assert isinstance(predicted.answer, list)
    assert isinstance(predicted.probability, list)
    tags, shares = predicted.answer, predicted.probability
    entities = list(_entities(tags, shares, words, line)) if bio else None
    return Answer(tags, shares, words=list(words), entities=entities)


def is_bio(labels: Sequence[str]) -> bool:
    """Whether tags mark spans."""
    return "O" in labels and any(label.startswith("B-") for label in labels)


def _entities(
    tags: Sequence[str], shares: Sequence[float], words: Sequence[str], line: str
) -> Iterator[Entity]:
    # the spans that span F1 scores; it imports evaluate, which only tagging needs
    from lowres.metrics.span_f1 import spans

    borders = []
    at = 0
    for word in words:
        start = line.index(word, at)
        at = start + len(word)
        borders.append((start, at))
    for label, first, after in sorted(spans(tags), key=lambda span: span[1]):
        start, end = borders[first][0], borders[after - 1][1]
        yield Entity(line[start:end], label, start, end, min(shares[first:after]))


def every_share(
    windows: Dataset, logits: Sequence[npt.NDArray[np.float32]], count: int
) -> npt.NDArray[np.float64]:
    """Probabilities of all labels [texts, labels]: means over a text's windows by their length, as
    the answer itself is made."""
    from lowres.tasks import _windows

    example = np.asarray(_windows.column(windows, "example"), dtype=np.int64)
    length = np.asarray([len(ids) for ids in _windows.column(windows, "input_ids")], np.float64)
    shares = _windows.probabilities(np.asarray(logits))
    sums = np.zeros((count, shares.shape[1]))
    np.add.at(sums, example, shares * length[:, None])
    means: npt.NDArray[np.float64] = sums / sums.sum(axis=1, keepdims=True)
    return means


def word_shares(
    windows: Dataset, logits: Sequence[npt.NDArray[np.float32]], sizes: Sequence[int]
) -> list[npt.NDArray[np.float64]]:
    """Probabilities of all tags of every word: [words, labels] a sentence of `sizes` words."""
    from lowres.tasks import _windows

    found = [np.zeros((size, logits[0].shape[-1])) for size in sizes]
    owners = _windows.column(windows, "words")
    for index, owner, scores in zip(
        _windows.column(windows, "example"), owners, logits, strict=True
    ):
        places = [place for place, word in enumerate(owner) if word >= 0]
        if places:
            words = [owner[place] for place in places]
            found[index][words] = _windows.probabilities(np.asarray(scores)[places])
    return found


def columns(labels: Sequence[str], tagging: bool, every: bool) -> tuple[str, ...]:
    """Names of the columns in CSV: `predicted`, `probability`; for tagging `words`, with BIO tags
    `entities`; `p(label)` of every label where they are asked for."""
    words = ("words", *(("entities",) if is_bio(labels) else ())) if tagging else ()
    shares = tuple(f"p({label})" for label in labels) if every else ()
    return ("predicted", "probability", *words, *shares)


def written(answers: Iterable[Answer], form: Format, names: Sequence[str]) -> Iterator[str]:
    """Lines of output: one an answer, for CSV the `columns` before them, also before none.

    Cells that hold several things are JSON.
    """
    if form == "jsonl":
        for answer in answers:
            yield json.dumps(answer.row(), ensure_ascii=False)
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="")

    def line(cells: Iterable[object]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(cells)
        return buffer.getvalue()

    yield line(names)
    for answer in answers:
        cells = _cells(answer)
        yield line(cells[name] for name in names)


def _cells(answer: Answer) -> dict[str, object]:
    row = answer.row()
    every = row.pop("probabilities", None) or {}
    cells = {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
        for key, value in row.items()
    }
    return cells | {f"p({label})": share for label, share in every.items()}
