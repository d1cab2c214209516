"""Verdicts and the threshold behind each; pieces that never come out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lowres.diagnose import (
    RULES,
    THRESHOLDS,
    english_lines,
    open_text,
    unreachable,
    verdict,
)
from lowres.errors import DataError
from lowres.fertility import Measured
from lowres.tokenizer_families import State

GOOD = Measured(
    lines=100,
    words=1000,
    characters=5000,
    bytes=6000,
    pieces=1300,
    unknown=0,
    tokens_p95=20,
    words_whole=0.8,
    words_unknown=0.0,
    lost=0.0,
    longest=(),
    with_unknown=(),
    notes=(),
)
NO_SPACES = replace(GOOD, words=None, words_whole=None, words_unknown=None)


@pytest.mark.parametrize(
    ("changed", "script", "word", "reason"),
    [
        ({}, "Latn", "fine", "no figure is beyond its threshold"),
        ({"lost": 0.06}, "Latn", "replace", "drops 6% of the letters and marks (over 5%)"),
        ({"lost": 0.05}, "Latn", "fine", ""),
        ({"unknown": 261}, "Latn", "script unknown", "20% of the pieces are unknown (over 20%)"),
        ({"unknown": 260}, "Latn", "extend", "20.00% of the pieces are unknown (over 0.1%)"),
        ({"unknown": 1}, "Latn", "fine", ""),
        ({"unknown": 2}, "Latn", "extend", "0.15% of the pieces are unknown (over 0.1%)"),
        ({"words_unknown": 0.6}, "Latn", "script unknown", "60% of the words hold an unknown"),
        ({"pieces": 5100}, "Latn", "script unknown", "1.02 pieces a character (over 1): single"),
        # 1.30 in English: both thresholds must be passed
        ({"pieces": 1990}, "Latn", "fine", ""),
        ({"pieces": 2010}, "Latn", "extend", "2.01 pieces a word (over 1.5 times English's 1.30"),
        ({"unknown": 999, "lost": 0.5}, "Latn", "replace", "drops 50%"),
    ],
)
def test_each_threshold(changed: dict[str, Any], script: str, word: str, reason: str) -> None:
    said = verdict(replace(GOOD, **changed), GOOD, script)
    assert said.word == word
    assert reason in said.reason
    assert said.advice


@pytest.mark.parametrize(
    ("changed", "script", "word", "reason"),
    [
        ({}, "Thai", "fine", ""),
        # English has 0.26 pieces a character
        ({"pieces": 1900}, "Tibt", "fine", ""),
        ({"pieces": 2000}, "Tibt", "extend", "0.40 pieces a character (over 1.5 times English's"),
        ({"pieces": 5001}, "Khmr", "script unknown", "1.00 pieces a character"),
        # Han: English has 4.6 bytes a piece
        ({"bytes": 15000, "pieces": 4000}, "Hans", "fine", ""),
        ({"bytes": 15000, "pieces": 5001}, "Jpan", "extend", "3.00 bytes a piece (under 1/1.5"),
        ({"bytes": 15000, "pieces": 7600}, "Hant", "script unknown", "1.52 pieces a character"),
    ],
)
def test_scripts_without_spaces(
    changed: dict[str, Any], script: str, word: str, reason: str
) -> None:
    said = verdict(replace(NO_SPACES, **changed), GOOD, script)
    assert (said.word, reason in said.reason) == (word, True), said


def test_thresholds_are_printed() -> None:
    for value in ("5%", "20%", "50%", "0.1%", "1.5 times", "over 2;"):
        assert value in RULES
    assert set(THRESHOLDS.values()) == {0.05, 0.2, 0.5, 1.0, 1.5, 0.001, 2.0}


def test_english_is_that_of_the_demonstration() -> None:
    lines = english_lines()
    assert len(lines) == 132
    assert any(line.startswith("Amina fried the fish") for line in lines)


def state_of(base: Path) -> State:
    state: State = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    return state


def built(state: State) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(state))


class TestUnreachable:
    def test_a_unigram_piece_that_a_better_path_hides(self, tiny_unigram_base: Path) -> None:
        state = state_of(tiny_unigram_base)
        before = unreachable(built(state))
        pieces = state["model"]["vocab"]
        assert before is not None
        assert before.vocabulary == len(pieces) - len(state["added_tokens"])
        # <mask> has the last row; what follows is no added token
        pieces += [["▁theriver", -99.0], ["▁thereriver", 0.0]]
        after = unreachable(built(state))
        assert after is not None
        assert set(after.examples) - set(before.examples) == {"▁theriver"}
        assert after.count == before.count + 1

    def test_a_bpe_piece_without_merges(self, tiny_bpe_base: Path) -> None:
        state = state_of(tiny_bpe_base)
        before = unreachable(built(state))
        assert before is not None
        assert before.count == 0
        state["model"]["vocab"]["Ġriverriver"] = len(state["model"]["vocab"])
        after = unreachable(built(state))
        assert after is not None
        assert after.examples == ("Ġriverriver",)

    def test_wordpiece_against_its_normaliser_and_splits(self, tiny_base: Path) -> None:
        state = state_of(tiny_base)
        before = unreachable(built(state))
        assert before is not None
        assert before.count == 0
        size = len(state["model"]["vocab"])
        new = ["river-bank", "##-", "##Q", "Quz", "quz"]
        state["model"]["vocab"].update({piece: size + i for i, piece in enumerate(new)})
        after = unreachable(built(state))
        assert after is not None
        assert after.examples == ("river-bank", "##-")
        state["normalizer"]["lowercase"] = True
        lowered = unreachable(built(state))
        assert lowered is not None
        assert lowered.count > 2
        tokenizer = built(state)
        out = {i for e in tokenizer.encode_batch(["quz Quz river-bank"]) for i in e.ids}
        assert size + 4 in out
        assert size + 3 not in out

    @pytest.mark.data
    def test_none_of_them_comes_out_of_real_text(self, shared_data: Path) -> None:
        from lowres import bases

        tokenizer = built(state_of(Path(bases.locate("minilm-en").path)))
        tokenizer.no_truncation()
        found = unreachable(tokenizer)
        assert found is not None
        assert found.examples[0] == "[unused0]"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules["lowres.diagnose"], "EXAMPLES", found.count)
            every = unreachable(tokenizer)
        assert every is not None
        ids = {tokenizer.token_to_id(piece) for piece in every.examples}
        for language in ("eng_Latn", "bho_Deva", "yor_Latn"):
            text = (shared_data / "text" / f"{language}.txt").read_text(encoding="utf-8")
            for encoding in tokenizer.encode_batch_fast(text.splitlines()):
                assert ids.isdisjoint(encoding.ids)


class TestOpenText:
    def test_script_from_the_letters_or_the_language(self, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("ⵜⴰⵎⴰⵣⵉⵖⵜ Windows\n" * 600, encoding="utf-8")
        opened = open_text(file, None)
        assert (opened.script, opened.notes) == ("Tfng", ())
        opened = open_text(file, "tzm_Tfng")
        assert opened.script == "Tfng"
        assert len(opened.notes) == 1
        assert opened.notes[0].startswith(f"{file}: 53% of its letters are Tfng")
        with pytest.raises(DataError, match="0% of its letters are Grek"):
            open_text(file, "ell_Grek")

    def test_little_text_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("a few words\n", encoding="utf-8")
        assert "3 words are little" in open_text(file, None).notes[0]
        file.write_text("1 2 3\n", encoding="utf-8")
        with pytest.raises(DataError, match="no letters"):
            open_text(file, None)


@pytest.mark.data
@pytest.mark.parametrize(
    ("base", "words"),
    [
        (
            "e5-small",
            {
                **{"eng_Latn": "fine", "nus_Latn": "extend", "shn_Mymr": "extend"},
                **{"tzm_Tfng": "script unknown", "dzo_Tibt": "script unknown"},
            },
        ),
        ("minilm-en", {"eng_Latn": "fine", "yor_Latn": "replace", "tzm_Tfng": "script unknown"}),
    ],
    ids=["e5-small", "minilm-en"],
)
def test_real_bases_on_real_text(base: str, words: dict[str, str], shared_data: Path) -> None:
    from lowres import bases
    from lowres.fertility import measure

    tokenizer = built(state_of(Path(bases.locate(base).path)))
    english = measure(tokenizer, english_lines())
    for language, word in words.items():
        lines = (shared_data / "text" / f"{language}.txt").read_text("utf-8").splitlines()[:500]
        script = language[-4:]
        said = verdict(measure(tokenizer, lines, script), english, script)
        assert said.word == word, language
