"""What a tokenizer makes of a text, counted the plain way and the fast one."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import counting, fertility
from lowres.errors import DataError
from lowres.fertility import measure

YORUBA = ["Olùkọ́ ṣí fèrèsé nítorí pé yàrá náà gbóná.", "Níbo ni ọjà wà, ìgbà wo ni ó máa ń ṣí?"]
TAMAZIGHT = ["ⵜⴰⵎⴰⵣⵉⵖⵜ ⴷ ⵜⵓⵜⵍⴰⵢⵜ.", "ⴰⵎⵣⵡⴰⵔⵓ ⵏ ⵓⵙⴳⴳⵯⴰⵙ"]


def test_figures_are_those_of_a_plain_loop(tokenizer: Any, sentences: tuple[str, ...]) -> None:
    lines = [*sentences, *YORUBA, *TAMAZIGHT, "one"]
    found = measure(tokenizer, lines)
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    lengths = sorted(len(row) for row in ids)
    assert found.lines == len(lines)
    assert found.words == sum(len(line.split()) for line in lines)
    assert found.pieces == sum(lengths)
    assert found.unknown == sum(row.count(tokenizer.unk_token_id) for row in ids)
    assert found.characters == sum(len("".join(line.split())) for line in lines)
    assert found.bytes == sum(len(line.encode()) for line in lines)
    assert found.tokens_p95 == lengths[-(-95 * len(lengths) // 100) - 1]
    assert found.fertility == found.pieces / found.words
    assert found.notes == ()
    assert json.dumps(fertility.figures(found))


def test_words_one_by_one(tokenizer: Any, sentences: tuple[str, ...]) -> None:
    found = measure(tokenizer, [*sentences[:6], *TAMAZIGHT])
    words = [
        word
        for line in [*sentences[:6], *TAMAZIGHT]
        for token in line.split()
        if re.search(r"[^\W\d_]", word := token.strip(",.?"))
    ]
    ids = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    unknown = [tokenizer.unk_token_id in row for row in ids]
    whole = [len(row) == 1 and not u for row, u in zip(ids, unknown, strict=True)]
    assert found.words_whole == pytest.approx(sum(whole) / len(words))
    assert found.words_unknown == pytest.approx(sum(unknown) / len(words))
    assert set(found.with_unknown) <= {w for w, u in zip(words, unknown, strict=True) if u}
    first = found.longest[0]
    most = max(
        len(row)
        for row, word, u in zip(ids, words, unknown, strict=True)
        if not u and words.count(word) == first.count
    )
    assert len(first.pieces) == most
    shown = "".join(piece for piece in first.pieces if piece not in "▁·")
    assert unicodedata.normalize("NFC", shown) == unicodedata.normalize("NFC", first.word)


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12), longest=st.integers(5, 40))
def test_batches_and_parts_change_nothing_but_memory(
    sizes: list[int], longest: int, tiny_tokenizer: Any
) -> None:
    """WordPiece looks at a word alone, so that cutting at spaces is exact."""
    lines = [" ".join(["the", "river,"] * size) for size in sizes]
    whole = measure(tiny_tokenizer, lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "LONGEST_PART", longest + 6)
        patch.setattr(counting, "BATCH_CHARACTERS", 3 * longest)
        cut = measure(tiny_tokenizer, lines)
    for figure in ("lines", "words", "pieces", "tokens_p95", "bytes", "characters"):
        assert getattr(cut, figure) == getattr(whole, figure), figure
    assert bool(cut.notes) == any(len(line) > longest + 6 for line in lines)


def test_a_long_line_without_spaces(tiny_tokenizer: Any) -> None:
    found = measure(tiny_tokenizer, ["abc" * 10_000, "short"])
    assert found.lines == 2
    assert found.bytes == 30_005
    assert found.notes == ("lines of more than 10,000 characters were encoded in parts",)


def test_a_sample_of_words_is_spread_evenly(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fertility, "SAMPLE_CHARACTERS", 400)
    lines = [f"{'river' if i % 3 else 'ⵜⴰⵎⴰⵣⵉⵖⵜ'} 1" for i in range(3000)]
    found = measure(tiny_tokenizer, lines)
    assert found.words_unknown == pytest.approx(1 / 3, abs=0.15)
    assert found.notes == ("words were looked at one by one in one line of 64",)
    sample = fertility._Sample()
    for line in lines:
        sample.add(line)
    assert sum(map(len, sample.parts)) <= 400
    assert sample.parts == lines[:: sample.every]


def test_scripts_without_spaces_have_no_words(tokenizer: Any) -> None:
    found = measure(tokenizer, ["老师打开了窗户,因为房间很热。"], script="Hans")
    assert (found.words, found.fertility, found.words_whole, found.words_unknown) == (None,) * 4
    assert found.longest == ()
    assert found.pieces_a_character > 0


def test_truncation_and_padding_come_back(tiny_base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_base)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(max_length=4, stride=1)
    backend.enable_padding(length=8)
    before = backend.truncation, backend.padding
    found = measure(tokenizer, ["the river near the market in Nairobi"])
    assert found.pieces >= 7
    assert (backend.truncation, backend.padding) == before
    with pytest.raises(DataError, match="no text to measure"):
        measure(tokenizer, [])
    assert (backend.truncation, backend.padding) == before


def test_a_bare_tokenizer_is_measured_alike(tokenizer: Any) -> None:
    lines = [*YORUBA, *TAMAZIGHT]
    assert measure(tokenizer.backend_tokenizer, lines) == measure(tokenizer, lines)


def test_what_a_normaliser_drops() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    bare = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert measure(bare, YORUBA).lost == 0
    bare.normalizer = normalizers.BertNormalizer(lowercase=True)
    assert measure(bare, ["The River"]).lost == 0, "case is no loss"
    # k o + 2 marks: half of what the word is
    assert measure(bare, ["kọ́"]).lost == 0.5
    bare.normalizer = normalizers.NFC()
    assert measure(bare, YORUBA).lost == 0, "only written otherwise"
