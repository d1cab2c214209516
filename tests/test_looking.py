"""What a run's symptoms are made of: its own answers, and a sample of what it learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from test_few_shot import study

from lowres import data, looking, pipeline, predictions, stats, symptoms
from lowres.recipe import Recipe
from lowres.results import Symptom
from lowres.symptoms import Answered
from lowres.tasks.classification import Options as Classification


class Halves:
    """A tokenizer of two characters a piece."""

    def __call__(self, lines: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * ((len(line) + 1) // 2) for line in lines]}


def of(rows: list[Symptom], name: str) -> dict[str, Symptom]:
    return {row.language: row for row in rows if row.name == name}


@pytest.mark.slow
def test_a_run_looks_for_all_six(tmp_path: Path, tiny_base: Path) -> None:
    recipe = study(tmp_path, tiny_base, {"together": True, "epochs": 1}, shots=[6])
    dev = tmp_path / "eng_Latn" / "dev.jsonl"
    lines = dev.read_text(encoding="utf-8").splitlines()
    assert len(lines) < symptoms.FEWEST, "of so few nothing would be said"
    again = [json.dumps({**json.loads(line), "id": f"again {n}"}) for n, line in enumerate(lines)]
    dev.write_text("\n".join([*lines, *again]) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    results = pipeline.run(recipe, out)
    found = results.symptoms
    targets = {"swh_Latn", "yor_Latn"}
    # twelve test texts are too few to say how they are written, and to cut into thirds
    assert set(of(found, "negative transfer")) == set(of(found, "label shift")) == targets
    assert set(of(found, "forgetting")) == set(of(found, "over-fitting")) == {"eng_Latn"}
    assert [row.name for row in found] == sorted(
        (row.name for row in found), key=symptoms.NAMES.index
    )
    forgotten = of(found, "forgetting")["eng_Latn"]
    after, before = (
        next(s for s in results.scores if (s.system, s.language, s.metric) == wanted).value
        for wanted in (("6-shot", "eng_Latn", "macro_f1"), ("adapter", "eng_Latn", "macro_f1"))
    )
    assert forgotten.value == pytest.approx(after - before)
    fitted = of(found, "over-fitting")["eng_Latn"]
    assert fitted.value == pytest.approx(gap_by_hand(recipe, out))
    # samples of what was learnt are in no table
    assert {s.language for s in results.scores} == {"eng_Latn", *targets}
    assert "What went wrong" in (out / "report.html").read_text(encoding="utf-8")


def gap_by_hand(recipe: Recipe, out: Path) -> float:
    """Macro-F1 of the training examples less that of dev, from the files of answers."""
    read = data.load(recipe)
    values = []
    for name, part in ((looking.TRAIN, read.train), (looking.DEV, read.dev)):
        rows = predictions.read(predictions.path_of(out / "evaluate" / "predictions", "1", name))
        said = [row.answer for row in rows]
        values.append(stats.value_of("macro_f1", list(part["label"]), said, list(read.labels)))
    return values[0] - values[1]


def test_a_sample_is_spread_over_the_whole_set() -> None:
    rows = Dataset.from_dict({"id": [str(n) for n in range(1000)]})
    sample = [int(n) for n in looking._sample(rows)["id"]]
    assert len(sample) == looking.SAMPLE
    assert (sample[0], sample[-1]) == (0, 999)
    assert max(np.diff(sample)) <= 6
    assert len(looking._sample(rows.select(range(50)))) == 50


def test_pieces_are_counted_by_word_and_where_there_are_no_spaces_by_character() -> None:
    test = Dataset.from_dict({"text": ["abcd ef", "ab", "abcdefgh"], "label": ["x", "y", "y"]})
    answered = Answered(["x", "y", "y"], ["x", "x", "y"])
    cut = looking._cut(
        Classification(name="classification"), test, answered, Halves(), "yor_Latn", 0
    )
    assert cut.pieces.tolist() == [2, 1, 4]
    assert (cut.wrong.tolist(), cut.unit) == ([0, 1, 0], "a word")
    cut = looking._cut(
        Classification(name="classification"), test, answered, Halves(), "khm_Khmr", 0
    )
    assert cut.pieces.tolist() == [4 / 6, 1 / 2, 4 / 8]
    assert cut.unit == "a character"


def test_of_tags_only_words_of_a_span_are_items() -> None:
    test = Dataset.from_dict({"tokens": [["Kano", "is", "hot"], ["Amina", "ran"]]})
    answered = Answered(
        [["B-LOC", "O", "O"], ["B-PER", "O"]], [["B-LOC", "O", "B-LOC"], ["O", "O"]]
    )
    cut = looking._cut_words(test, answered, Halves(), 0.0)
    assert cut.pieces.tolist() == [2, 2, 3]
    assert cut.wrong.tolist() == [0, 1, 1]
    assert cut.example.tolist() == [0, 0, 1]
