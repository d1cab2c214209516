"""One tag a word: parts of speech, named entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lowres.tasks import Prediction, TaskOptions

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

WORD_MARKS = frozenset({"▁", "Ġ", " "})
"""Pieces that say only that a word begins (SentencePiece, byte-level BPE)."""


@dataclass(frozen=True)
class Words:
    """Sub-words of every word form. `head`: which of them carries the word's tag.

    `empty`: forms without a single piece (they got the unknown token); `cut`: forms longer than a
    window (their last pieces are left out).
    """

    ids: dict[str, list[int]]
    head: dict[str, int]
    empty: frozenset[str]
    cut: frozenset[str]


class Options(TaskOptions):
    """One tag a word."""

    name: Literal["tagging"]

    fields: ClassVar[tuple[str, ...]] = ("tokens", "tags")
    gold_field: ClassVar[str] = "tags"
    model_class: ClassVar[Literal["SequenceClassification", "TokenClassification"]] = (
        "TokenClassification"
    )
    lexical_baselines: ClassVar[tuple[str, ...]] = ("majority", "lookup")
    possible_metrics: ClassVar[tuple[str, ...]] = ("span_f1", "accuracy", "macro_f1")

    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Span F1 for BIO tags, else accuracy. Accuracy says little about entities: O wins."""
        begins = {label[2:] for label in labels if label.startswith("B-")}
        return ("span_f1",) if "O" in labels and begins else ("accuracy", "macro_f1")

    def misfit(self, metric: str, labels: Sequence[str]) -> str | None:
        """Span F1 needs BIO tags."""
        spans = any(label.startswith("B-") for label in labels)
        return None if spans or metric != "span_f1" else "no label begins with B-"

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_tokens: int,
    ) -> Dataset:
        """Sentences to windows that end at word borders; every word is answered in exactly one.

        A word's tag stands on its first sub-word, a lone word mark (`▁`, `Ġ`) passed over: that
        piece is the same for all words. Windows of a long sentence overlap by half, and a word is
        answered where the nearer edge of its window is farthest.
        """
        from datasets import Dataset

        from lowres.tasks import _windows

        frame = _windows.template(tokenizer, pair=False)
        room = _windows.room_for(frame.size, max_tokens)
        sentences = _windows.column(examples, "tokens")
        words = split_words(tokenizer, sentences, room)
        tags = _tag_ids(examples, labels)
        rows: dict[str, list[Any]] = {"input_ids": [], "example": [], "words": []}
        if tags is not None:
            rows["labels"] = []
        before, after = [-1] * len(frame.prefix), [-1] * len(frame.suffix)
        for index, sentence in enumerate(sentences):
            sizes = [len(words.ids[word]) for word in sentence]
            for start, end, answered in word_windows(sizes, room):
                ids: list[int] = []
                owner: list[int] = []
                for position in range(start, end):
                    word = sentence[position]
                    owner += [-1] * len(words.ids[word])
                    if position in answered:
                        owner[len(ids) + words.head[word]] = position
                    ids += words.ids[word]
                owner = [*before, *owner, *after]
                rows["input_ids"].append(frame.wrap(ids))
                rows["example"].append(index)
                rows["words"].append(owner)
                if tags is not None:
                    gold = tags[index]
                    rows["labels"].append([gold[w] if w >= 0 else _windows.IGNORED for w in owner])
        return Dataset.from_dict(rows)

    def decode(
        self,
        examples: Dataset,
        windows: Dataset,
        logits: Sequence[np.ndarray],
        labels: Sequence[str],
    ) -> list[Prediction]:
        """Window logits [tokens, labels] (padding at the end may still be there) to tags."""
        import numpy as np

        from lowres.tasks import _windows

        sizes = [len(tokens) for tokens in _windows.column(examples, "tokens")]
        answers = [[""] * size for size in sizes]
        shares = [[0.0] * size for size in sizes]
        owners = _windows.column(windows, "words")
        for index, owner, scores in zip(
            _windows.column(windows, "example"), owners, logits, strict=True
        ):
            places = [i for i, word in enumerate(owner) if word >= 0]
            if not places:
                continue
            chosen = _windows.probabilities(np.asarray(scores)[places])
            best, top = chosen.argmax(axis=1), chosen.max(axis=1)
            for place, label, share in zip(places, best, top, strict=True):
                answers[index][owner[place]] = labels[label]
                shares[index][owner[place]] = float(share)
        assert all(tag for answer in answers for tag in answer), "a word without an answer"
        return [Prediction(a, p) for a, p in zip(answers, shares, strict=True)]

    def read_text(self, line: str) -> dict[str, Any]:
        """Words are what white space separates."""
        return {"tokens": line.split()}

    def notes(
        self, examples: Dataset, tokenizer: PreTrainedTokenizerBase, max_tokens: int
    ) -> tuple[str, ...]:
        """How many words had no piece of their own, or more pieces than a window holds."""
        from lowres.tasks import _windows

        frame = _windows.template(tokenizer, pair=False)
        room = _windows.room_for(frame.size, max_tokens)
        sentences = _windows.column(examples, "tokens")
        words = split_words(tokenizer, sentences, room)
        every = [word for sentence in sentences for word in sentence]
        counts = [sum(word in forms for word in every) for forms in (words.empty, words.cut)]
        texts = (
            f"{counts[0]} word(s) have no sub-word and are read as the unknown token",
            f"{counts[1]} word(s) are longer than a window of {max_tokens} tokens and are read by "
            f"their first {room} sub-words",
        )
        return tuple(text for count, text in zip(counts, texts, strict=True) if count)


def _tag_ids(examples: Dataset, labels: Sequence[str]) -> list[list[int]] | None:
    """Label id of every word, -100 for a tag not in `labels`; None without gold answers."""
    from lowres.tasks import _windows

    if "tags" not in examples.column_names:
        return None
    known = {label: i for i, label in enumerate(labels)}
    sentences = _windows.column(examples, "tags")
    return [[known.get(tag, _windows.IGNORED) for tag in tags] for tags in sentences]


def split_words(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], room: int
) -> Words:
    """Sub-words of every distinct form, each at most `room`, each at least one.

    Forms are encoded on their own, as `is_split_into_words` does, but each only once. Where the
    tokenizer does not add the space before a word itself (byte-level BPE), it is added here, for
    a word inside a sentence is what the base saw in pretraining.
    """
    from lowres.tasks import _windows

    forms = list(dict.fromkeys(word for sentence in sentences for word in sentence))
    bare, spaced = _windows.pieces(tokenizer, ["a", " a"])
    space = "" if bare == spaced else " "
    encoded = _windows.pieces(tokenizer, [space + form for form in forms])
    unknown = tokenizer.unk_token_id
    if unknown is None:  # byte-level vocabularies have none; padding is the neutral piece left
        unknown = tokenizer.pad_token_id
    marks = {tokenizer.convert_tokens_to_ids(mark) for mark in sorted(WORD_MARKS)}
    marks -= {None, tokenizer.unk_token_id}
    ids: dict[str, list[int]] = {}
    head: dict[str, int] = {}
    empty, cut = set(), set()
    for form, pieces in zip(forms, encoded, strict=True):
        if not pieces:
            empty.add(form)
        if len(pieces) > room:
            cut.add(form)
        ids[form] = pieces[:room] or [unknown]
        head[form] = int(len(ids[form]) > 1 and ids[form][0] in marks)
    return Words(ids, head, frozenset(empty), frozenset(cut))


def word_windows(sizes: Sequence[int], room: int) -> list[tuple[int, int, range]]:
    """Windows [start, end) over words of the given sizes (sub-words, each at most `room`).

    Third: the words that the window answers. Together these cover every word exactly once.
    """
    ends = [0, *accumulate(sizes)]
    count = len(sizes)
    if ends[-1] <= room:
        return [(0, count, range(count))]
    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        end = start
        while end < count and ends[end + 1] - ends[start] <= room:
            end += 1
        if end == count:
            while ends[count] - ends[start - 1] <= room:  # the last window takes what fits
                start -= 1
            spans.append((start, end))
            break
        spans.append((start, end))
        start += 1
        while ends[end] - ends[start] > room // 2 or ends[end + 1] - ends[start] > room:
            start += 1
    owner = [
        max(range(len(spans)), key=lambda i: _context(spans[i], word, ends))
        for word in range(count)
    ]
    return [
        (a, b, range(owner.index(i), owner.index(i) + owner.count(i)))
        for i, (a, b) in enumerate(spans)
        if i in owner
    ]


def _context(span: tuple[int, int], word: int, ends: Sequence[int]) -> float:
    """Sub-words between a word and the nearer edge of its window; an edge that is the sentence's
    own takes nothing away. -1 outside the window."""
    start, end = span
    if not start <= word < end:
        return -1.0
    left = ends[word] - ends[start] if start > 0 else float("inf")
    right = ends[end] - ends[word + 1] if end < len(ends) - 1 else float("inf")
    return min(left, right)
