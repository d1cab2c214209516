"""What a run's symptoms are made of: its own answers, and a sample of what it learnt from."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_study
from datasets import Dataset
from test_few_shot import study

from lowres import data, looking, pipeline, pooled, predictions, stats, symptoms
from lowres.recipe import Recipe
from lowres.results import Symptom
from lowres.symptoms import Answered
from lowres.tasks.classification import Options as Classification

TAILS = ("", " xqzvwk", " jxqz kvwy zzqx")
"""Letters that a tiny tokenizer has no long pieces for."""


class Halves:
    """A tokenizer of two characters a piece."""

    def __call__(self, lines: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * ((len(line) + 1) // 2) for line in lines]}


def of(rows: list[Symptom], name: str) -> dict[str, Symptom]:
    return {row.language: row for row in rows if row.name == name}


@pytest.mark.slow
def test_a_run_looks_for_all_six(tmp_path: Path, tiny_base: Path) -> None:
    recipe = study(tmp_path, tiny_base, {"together": True, "epochs": 1}, shots=[6])
    evaluate = recipe.evaluate.model_copy(update={"baselines": ("probe",)})
    recipe = recipe.model_copy(update={"evaluate": evaluate})
    targets = {"swh_Latn", "yor_Latn"}
    for n, language in enumerate(("eng_Latn", *sorted(targets))):
        # of the few that the study has nothing is said
        for split, count in (("dev", 18), ("test", 60)):
            rows = tiny_study.examples("classification", count, 100 * n + count)
            file = tmp_path / language / f"{split}.jsonl"
            lines = [
                # words of one to six letters, so that texts are cut coarsely and finely
                json.dumps({"id": row["id"], "label": row["label"], "text": row["text"] + tail})
                for row, tail in zip(rows, itertools.cycle(TAILS), strict=False)
            ]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    results = pipeline.run(recipe, out)
    found = results.symptoms
    assert tuple(dict.fromkeys(row.name for row in found)) == symptoms.NAMES
    for name in ("negative transfer", "tokenisation", "label shift"):
        assert set(of(found, name)) == targets
    assert set(of(found, "forgetting")) == set(of(found, "over-fitting")) == {"eng_Latn"}
    shifts = of(found, "domain shift")
    assert set(shifts) == {"eng_Latn", *targets}
    # the probe has read all texts, so that their vectors are known
    assert {code: row.pooled for code, row in shifts.items()} == pooled.read(
        out / "evaluate" / "predictions"
    )
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
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "What went wrong" in page
    assert "Not looked for" not in page


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
