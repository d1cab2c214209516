"""decode(encode(line)) of an extended tokenizer: never worse than before, in every family."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_language import WORDS

from lowres import bases, extension, model, prebuilt, tokenizer_families, vocabulary

ROOT = Path(__file__).resolve().parent.parent
LETTERS = "abehilmnorstwäɛɔŋ̱ ⴰⵎⵣ།ཀ.,'½ﬁ☂"
PIECES = [*WORDS["Unigram"], "the ", "water", "ⴰⵎⴰⵏ"]
TEXT = st.lists(st.one_of(st.sampled_from(PIECES), st.text(LETTERS, max_size=6)), max_size=6)


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("round_trip")


@pytest.fixture(params=["tiny_base", "tiny_unigram_base", "tiny_bpe_base"])
def state(request):
    folder = request.getfixturevalue(request.param)
    return extension.state_of(model.load_tokenizer(bases.locate(str(folder))))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(TEXT.map("".join), max_size=5))
def test_what_came_back_before_comes_back_after(bench, state, drawn):
    label = tokenizer_families.of(state, "tiny").LABEL
    old = vocabulary.build(state).get_vocab(with_added_tokens=True)
    pieces = [piece for piece in WORDS[label] if piece not in old]
    assert pieces
    (row,) = bench.rows_of("tiny", state, pieces, {"drawn": drawn})
    assert row.lost == 0
    assert row.letters_after >= row.letters_before
    assert row.whole_after >= row.whole_before
    assert row.lines == len(drawn)


def test_what_is_lost_and_what_is_won_are_counted(bench):
    """A line that comes back is no amends for another that is lost."""
    before = [(True, True), (True, True), (False, False), (False, True)]
    after = [(True, True), (False, True), (True, True), (False, False)]
    row = bench.compared("t", "f", "x", before, after)
    assert (row.letters_before, row.letters_after) == (2, 2)
    assert (row.whole_before, row.whole_after) == (3, 3)
    assert row.lost == 2


def test_a_line_with_an_unknown_piece_does_not_come_back(bench, tiny_base):
    """WordPiece gives back what its normaliser leaves, and spaces around each sign."""
    state = extension.state_of(model.load_tokenizer(bases.locate(str(tiny_base))))
    tokenizer = vocabulary.build(state)
    known = next(p for p in sorted(tokenizer.get_vocab()) if len(p) > 2 and p.isalpha())
    assert bench.came_back(tokenizer, [known, f"  {known} ", f"{known} ☂☃"]) == [
        (True, True),
        (True, True),
        (False, False),
    ]


def test_nothing_was_lost_where_it_was_measured(bench):
    """benchmarks/results: every shipped extension, and both other families, on real text."""
    rows = [bench.Row(**row) for row in json.loads(bench.FILE.read_text(encoding="utf-8"))]
    names = dict.fromkeys(row.tokenizer for row in rows if row.family == "Unigram")
    assert tuple(names) == prebuilt.names()
    assert {row.family for row in rows} == {"Unigram", "WordPiece", "byte-level BPE"}
    for row in rows:
        assert row.lost == 0, row
        assert row.whole_after >= row.whole_before, row
        assert row.letters_after >= row.letters_before, row
        assert row.lines >= 300, row
