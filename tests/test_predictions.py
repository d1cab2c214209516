from __future__ import annotations

import json

import pytest
from datasets import Dataset

from lowres import predictions
from lowres.errors import RunError
from lowres.predictions import Answers
from lowres.tasks import Prediction

WORDS = Dataset.from_list(
    [
        {"id": "a", "tokens": ["Ali", "lala"], "tags": ["B-PER", "O"]},
        {"id": "b", "tokens": [], "tags": []},
    ]
)
TAGS = [Prediction(["B-PER", "B-PER"], [0.987654321, 0.5]), Prediction([], [])]
LABELS = Dataset.from_list([{"id": "x\u2028y", "label": "ọ̀rẹ́"}])


@pytest.mark.parametrize(
    ("examples", "field", "answers"),
    [
        (WORDS, "tags", TAGS),
        # a line separator of Unicode inside an id must not end the line
        (LABELS, "label", [Prediction("ọ̀rẹ́", 0.25)]),
    ],
)
def test_what_is_written_is_read(tmp_path, examples, field, answers):
    file = predictions.path_of(tmp_path, "tfidf", "swh_Latn")
    predictions.write(file, examples, field, answers)
    assert file == tmp_path / "tfidf" / "swh_Latn.jsonl"
    read = predictions.read(file)
    assert [a.answer for a in read] == [a.answer for a in answers]
    lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert [json.loads(line)["gold"] for line in lines] == list(examples[field])
    assert [json.loads(line)["id"] for line in lines] == list(examples["id"])


def test_probabilities_have_four_places(tmp_path):
    file = tmp_path / "a.jsonl"
    predictions.write(file, WORDS, "tags", TAGS)
    assert predictions.read(file)[0].probability == [0.9877, 0.5]


def test_too_few_answers_write_nothing(tmp_path):
    file = tmp_path / "1" / "swh_Latn.jsonl"
    with pytest.raises(ValueError, match="shorter"):
        predictions.write(file, WORDS, "tags", TAGS[:1])
    assert not list(tmp_path.rglob("*.*"))


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    import errno

    from lowres import artifacts

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        predictions.write(tmp_path / "1" / "a.jsonl", WORDS, "tags", TAGS)
    assert not list((tmp_path / "1").iterdir())


def test_answers_are_read_once_and_only_where_they_are(tmp_path):
    file = predictions.path_of(tmp_path, "1", "swh_Latn")
    predictions.write(file, WORDS, "tags", TAGS)
    answers = Answers(tmp_path, {"swh_Latn": list(WORDS["tags"])})
    assert answers.has("1", "swh_Latn")
    assert not answers.has("1", "hau_Latn")
    assert not answers.has("probe", "swh_Latn")
    assert answers.labels("1", "swh_Latn") == [["B-PER", "B-PER"], []]
    file.unlink()
    assert answers.rows("1", "swh_Latn")[1].probability == []
    assert answers.gold("swh_Latn") == [["B-PER", "O"], []]
