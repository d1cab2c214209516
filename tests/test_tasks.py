"""Encoding to windows and decoding back: nothing is cut, every word is answered once."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.errors import BaseModelError, DataError
from lowres.tasks import TaskOptions, _windows, classification, pairs, tagging

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LABELS = ("health", "sports")
TAGS = ("O", "B-LOC", "I-LOC")
FAMILIES = ("tiny_base", "tiny_unigram_base", "tiny_bpe_base")


@pytest.fixture(params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    folder: Path = request.getfixturevalue(request.param)
    return AutoTokenizer.from_pretrained(folder)


def dataset(**columns: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(columns)


def some_logits(windows: Any, labels: int) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(len(ids), labels)) for ids in windows["input_ids"]]


def test_options_import_nothing_heavy() -> None:
    code = (
        "import sys; from lowres.tasks import classification, pairs, tagging;"
        "bad = {'torch', 'numpy', 'transformers', 'datasets', 'sklearn'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("pair", [False, True])
def test_a_short_text_is_encoded_as_the_tokenizer_does(
    tokenizer: PreTrainedTokenizerBase, pair: bool, sentences: tuple[str, ...]
) -> None:
    options: TaskOptions = (
        pairs.Options(name="pairs") if pair else classification.Options(name="classification")
    )
    first, second = list(sentences[:6]), list(sentences[6:12])
    examples = dataset(text=first, **({"text_pair": second} if pair else {}))
    windows = options.encode(examples, tokenizer, LABELS, 256)
    expected = tokenizer(first, second) if pair else tokenizer(first)
    assert windows["input_ids"][:] == expected["input_ids"]
    assert windows["example"][:] == list(range(6))
    assert "labels" not in windows.column_names
    if pair and "token_type_ids" in expected:
        assert windows["token_type_ids"][:] == expected["token_type_ids"]


def test_a_long_text_becomes_equal_windows_without_loss(
    tokenizer: PreTrainedTokenizerBase, sentences: tuple[str, ...]
) -> None:
    texts = ["", " ".join(sentences), sentences[0]]
    examples = dataset(text=texts, label=["health", "sports", "religion"])
    options = classification.Options(name="classification")
    windows = options.encode(examples, tokenizer, LABELS, 16)
    frame = _windows.template(tokenizer, pair=False)
    inner = [ids[len(frame.prefix) : len(ids) - len(frame.suffix)] for ids in windows["input_ids"]]
    pieces = _windows.pieces(tokenizer, texts)
    of_long = [ids for ids, at in zip(inner, windows["example"], strict=True) if at == 1]
    assert list(chain.from_iterable(of_long)) == pieces[1]
    assert len(of_long) > 2
    assert max(map(len, of_long)) - min(map(len, of_long)) <= 1
    assert max(map(len, windows["input_ids"])) <= 16
    assert windows["input_ids"][0] == tokenizer("")["input_ids"]
    assert set(windows["labels"][:]) == {0, 1, _windows.IGNORED}
    answers = options.decode(examples, windows, [row[0] for row in some_logits(windows, 2)], LABELS)
    assert len(answers) == 3


def test_windows_are_pooled_by_length() -> None:
    windows = dataset(input_ids=[[1] * 9, [1], [1, 2]], example=[0, 0, 1])
    logits = [np.log([0.6, 0.4]), np.log([0.1, 0.9]), np.log([0.2, 0.8])]
    first, second = _windows.pool(2, windows, logits, LABELS)
    assert first.answer == "health"
    assert first.probability == pytest.approx(0.9 * 0.6 + 0.1 * 0.1)
    assert second.answer == "sports"
    assert _windows.pool(0, windows, logits, LABELS) == []


@given(st.integers(0, 40), st.integers(0, 40), st.integers(4, 20))
def test_all_of_one_side_meets_all_of_the_other(first: int, second: int, room: int) -> None:
    a, b = list(range(first)), list(range(100, 100 + second))
    found = pairs._both_sides(a, b, room)
    assert all(len(x) + len(y) <= room for x, y in found)
    met = {(i, j) for x, y in found for i in x for j in y}
    assert met == {(i, j) for i in a for j in b}
    if first and min(first, second) <= room // 2 < first + second - room:
        shorter = b if first > second else a
        assert all((y if first > second else x) == shorter for x, y in found)


@given(st.lists(st.integers(1, 7), max_size=60), st.integers(7, 25))
def test_every_word_is_answered_once_where_it_has_most_context(sizes: list[int], room: int) -> None:
    windows = tagging.word_windows(sizes, room)
    assert [w for _, _, answered in windows for w in answered] == list(range(len(sizes)))
    for start, end, answered in windows:
        assert sum(sizes[start:end]) <= room
        assert start <= answered.start <= answered.stop <= end
    if len(windows) > 1:
        ends = [0, *np.cumsum(sizes).tolist()]
        spans = [(start, end) for start, end, _ in windows]
        for span, (_, _, answered) in zip(spans, windows, strict=True):
            for word in answered:
                best = max(tagging._context(other, word, ends) for other in spans)
                assert tagging._context(span, word, ends) == best


SENTENCES = [
    ["Mwalimu", "alifungua", ",", "dirisha", "\u200b", "Diviya bû"],
    [],
    ["Níbo", "ni", "ọjà", "wà", "ìgbà", "wo", "ni", "ó", "máa", "ń", "ṣí"] * 8,
    ["joto" * 24, "b"],
]


def test_tagging_answers_every_word_once(tokenizer: PreTrainedTokenizerBase) -> None:
    tags = [["B-LOC" if i % 3 else "O" for i, _ in enumerate(words)] for words in SENTENCES]
    tags[0][0] = "B-DATE"  # a tag that the source never showed
    examples = dataset(tokens=SENTENCES, tags=tags)
    options = tagging.Options(name="tagging")
    windows = options.encode(examples, tokenizer, TAGS, 24)
    assert max(map(len, windows["input_ids"])) <= 24
    answered: dict[int, list[int]] = {i: [] for i in range(len(SENTENCES))}
    for index, owner, labels, ids in zip(
        windows["example"], windows["words"], windows["labels"], windows["input_ids"], strict=True
    ):
        assert len(owner) == len(labels) == len(ids)
        for word, label in zip(owner, labels, strict=True):
            tag = tags[index][word] if word >= 0 else None
            assert label == (TAGS.index(tag) if tag in TAGS else _windows.IGNORED)
        answered[index] += [word for word in owner if word >= 0]
    assert answered == {i: list(range(len(words))) for i, words in enumerate(SENTENCES)}

    logits = some_logits(windows, len(TAGS))
    padded = [np.pad(row, ((0, 3), (0, 0)), constant_values=9.0) for row in logits]
    answers = options.decode(examples, windows, padded, TAGS)
    assert answers == options.decode(examples, windows, logits, TAGS)
    assert [len(row.answer) for row in answers] == list(map(len, SENTENCES))  # type: ignore[arg-type]
    for index, owner, row in zip(windows["example"], windows["words"], logits, strict=True):
        for place, word in enumerate(owner):
            if word >= 0:
                assert answers[index].answer[word] == TAGS[row[place].argmax()]  # type: ignore[index]
    # Only where a vocabulary drops U+200B is there an empty word; the long one is always cut.
    notes = options.notes(examples, tokenizer, 24)
    assert notes[-1].startswith("1 word(s) are longer than a window of 24 tokens")


def test_a_word_without_pieces_is_the_unknown_token(
    tiny_tokenizer: PreTrainedTokenizerBase,
) -> None:
    examples = dataset(tokens=[["a", "\u200b", "\u200b"]])
    options = tagging.Options(name="tagging")
    windows = options.encode(examples, tiny_tokenizer, TAGS, 16)
    assert windows["words"][0] == [-1, 0, 1, 2, -1]
    assert windows["input_ids"][0][2:4] == [tiny_tokenizer.unk_token_id] * 2
    assert "labels" not in windows.column_names
    (note,) = options.notes(examples, tiny_tokenizer, 16)
    assert note.startswith("2 word(s) have no sub-word")
    assert classification.Options(name="classification").notes(examples, tiny_tokenizer, 16) == ()


def test_words_are_split_as_is_split_into_words_does(tokenizer: PreTrainedTokenizerBase) -> None:
    words = SENTENCES[2]
    examples = dataset(tokens=[words])
    windows = tagging.Options(name="tagging").encode(examples, tokenizer, TAGS, 512)
    encoded = tokenizer([words], is_split_into_words=True)
    assert windows["input_ids"][0] == encoded["input_ids"][0]
    owners = encoded.word_ids(0)
    for place, word in enumerate(windows["words"][0]):
        if word >= 0:
            assert owners[place] == word


def test_a_lone_word_mark_carries_no_tag(tiny_unigram_base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_unigram_base)
    mark = tokenizer.convert_tokens_to_ids("▁")
    assert mark != tokenizer.unk_token_id
    words = tagging.split_words(tokenizer, [["?", "a", "።"]], 20)
    for form, ids in words.ids.items():
        assert words.head[form] == (1 if len(ids) > 1 and ids[0] == mark else 0)
    assert words.ids["?"][0] == mark
    assert words.head["?"] == 1


def test_special_tokens_inside_the_text_are_refused(
    tiny_tokenizer: PreTrainedTokenizerBase,
) -> None:
    class Interleaved:
        name_or_path = "odd"
        model_input_names = ("input_ids",)

        def __call__(self, *texts: str, add_special_tokens: bool = True, **_: Any) -> Any:
            ids = [5, 1, 6] if add_special_tokens else [5, 6]
            return {
                "input_ids": ids, "special_tokens_mask": [0, 1, 0], "token_type_ids": [0, 0, 0]
            }  # fmt: skip

    with pytest.raises(BaseModelError, match="special tokens inside the text"):
        _windows.template(Interleaved(), pair=False)  # type: ignore[arg-type]
    with pytest.raises(BaseModelError, match=r"train\.max_tokens 3 leaves no room"):
        _windows.room_for(2, 3)


def test_lines_of_user_input() -> None:
    assert classification.Options(name="classification").read_text("a b") == {"text": "a b"}
    assert tagging.Options(name="tagging").read_text(" a  b ") == {"tokens": ["a", "b"]}
    options = pairs.Options(name="pairs")
    assert options.read_text("a\tb") == {"text": "a", "text_pair": "b"}
    with pytest.raises(DataError, match="one tab between them, found 1 part"):
        options.read_text("a b")


@pytest.mark.parametrize(
    ("options", "labels", "metrics"),
    [
        (classification.Options(name="classification"), LABELS, ("macro_f1", "accuracy")),
        (pairs.Options(name="pairs"), ("no", "yes"), ("accuracy", "macro_f1")),
        (tagging.Options(name="tagging"), TAGS, ("span_f1",)),
        (tagging.Options(name="tagging"), ("ADJ", "NOUN"), ("accuracy", "macro_f1")),
    ],
)
def test_each_task_names_its_metrics(
    options: TaskOptions, labels: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    assert options.metrics(labels) == metrics
    assert options.gold_field in options.fields
