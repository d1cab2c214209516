from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from datasets import Dataset

from lowres import answers
from lowres.tasks import Prediction, _windows

LINE = "  Amina Bello   went to\u3000Nairobi , Kenya"
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "O", "I-LOC"]
SHARES = [0.9, 0.8, 1.0, 1.0, 0.7, 1.0, 0.6]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def words_of(line=LINE, tags=TAGS, shares=SHARES, bio=True):
    return answers.of_words(Prediction(tags, shares), line.split(), line, bio)


def test_spans_have_offsets_in_the_line_and_their_weakest_probability():
    found = [(e.text, e.label, e.start, e.end, e.probability) for e in words_of().entities]
    assert found == [
        ("Amina Bello", "PER", 2, 13, 0.8),
        ("Nairobi", "LOC", 24, 31, 0.7),
        # as conlleval reads it: an I- that follows nothing begins a span
        ("Kenya", "LOC", 34, 39, 0.6),
    ]
    assert all(LINE[e.start : e.end] == e.text for e in words_of().entities)


def test_the_same_word_twice_and_letters_outside_the_basic_plane():
    line = "\U0001f642 na na n"
    found = words_of(line, ["O", "O", "B-X", "B-X"], [1.0, 1.0, 0.5, 0.5]).entities
    assert [(e.start, e.end) for e in found] == [(5, 7), (8, 9)]


def test_entities_only_where_tags_mark_spans():
    assert answers.is_bio(LABELS)
    assert not answers.is_bio(("NOUN", "VERB"))
    answer = words_of(tags=["NOUN"] * 7, bio=False)
    assert answer.entities is None
    assert set(answer.row()) == {"predicted", "probability", "words"}
    assert words_of("", [], []).row() == {
        "predicted": [],
        "probability": [],
        "words": [],
        "entities": [],
    }


def test_json_lines_keep_the_keys_they_had():
    plain = answers.of_label(Prediction("sports", 0.75), None, ("a", "sports"))
    every = answers.of_label(Prediction("sports", 0.75), [0.25, 0.75], ("a", "sports"))
    lines = [json.loads(x) for x in answers.written([plain, every, words_of()], "jsonl", ())]
    assert lines[0] == {"predicted": "sports", "probability": 0.75}
    assert lines[1] == lines[0] | {"probabilities": {"a": 0.25, "sports": 0.75}}
    assert lines[2]["predicted"] == TAGS
    assert lines[2]["words"] == LINE.split()
    assert lines[2]["entities"][0]["text"] == "Amina Bello"


def test_csv_has_names_once_and_a_record_an_answer():
    labels = ("a", 'so,"called"')
    every = [answers.of_label(Prediction(labels[1], 0.75), [0.25, 0.75], labels)] * 2
    names = answers.columns(labels, tagging=False, every=True)
    rows = list(csv.DictReader(answers.written(every, "csv", names)))
    record = {"predicted": labels[1], "probability": "0.75", "p(a)": "0.25"}
    assert rows == [record | {'p(so,"called")': "0.75"}] * 2
    tags = answers.columns(LABELS, tagging=True, every=False)
    tagged = list(csv.DictReader(answers.written([words_of(), words_of("", [], [])], "csv", tags)))
    assert json.loads(tagged[0]["predicted"]) == TAGS
    assert json.loads(tagged[0]["entities"])[1]["start"] == 24
    assert json.loads(tagged[1]["words"]) == []
    assert list(answers.written([], "csv", tags)) == ["predicted,probability,words,entities"]
    assert list(answers.written([], "jsonl", tags)) == []
    assert answers.columns(("NOUN", "VERB"), tagging=True, every=False)[-1] == "words"


@pytest.mark.parametrize("seed", [0, 1])
def test_all_shares_are_pooled_as_the_answer_is(seed):
    draw = np.random.default_rng(seed)
    example = [0, 0, 1, 2, 2, 2]
    ids = [[1] * int(n) for n in draw.integers(3, 9, len(example))]
    windows = Dataset.from_dict({"input_ids": ids, "example": example})
    logits = list(draw.standard_normal((len(example), 4)).astype(np.float32))
    shares = answers.every_share(windows, logits, 3)
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))
    labels = ("a", "b", "c", "d")
    for row, pooled in zip(shares, _windows.pool(3, windows, logits, labels), strict=True):
        assert labels[row.argmax()] == pooled.answer
        assert row.max() == pytest.approx(pooled.probability)
