"""Pieces of each line by the words in it, against lines encoded whole."""

from __future__ import annotations

from typing import Any

import pytest

from lowres import counting
from lowres.fertility import measure

YORUBA = ["Olùkọ́ ṣí fèrèsé nítorí pé yàrá náà gbóná.", "Níbo ni ọjà wà, ìgbà wo ni ó máa ń ṣí?"]
TAMAZIGHT = ["ⵜⴰⵎⴰⵣⵉⵖⵜ ⴷ ⵜⵓⵜⵍⴰⵢⵜ.", "ⴰⵎⵣⵡⴰⵔⵓ ⵏ ⵓⵙⴳⴳⵯⴰⵙ"]


def test_words_are_encoded_once(tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "BATCH_CHARACTERS", 200)
    asked: list[str] = []
    encode = counting._encode

    def noted(backend: Any, texts: list[str]) -> list[Any]:
        asked.extend(texts)
        return encode(backend, texts)

    monkeypatch.setattr(counting, "_encode", noted)
    lines = [f"the river {'market' if i % 2 else 'Nairobi'}" for i in range(2000)]
    found = measure(tiny_tokenizer, lines)
    monkeypatch.undo()
    assert found.pieces == sum(len(tiny_tokenizer.tokenize(line)) for line in lines)
    assert asked.count(" river") == 1
    assert 0 < sum(" " in text.strip() for text in asked) < len(lines) / 10, "checked lines alone"


def test_words_are_forgotten_and_learnt_again(
    tokenizer: Any, sentences: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [*sentences, *YORUBA, "two  spaces  in a row", *TAMAZIGHT] * 3
    whole = measure(tokenizer, lines)
    monkeypatch.setattr(counting, "BATCH_CHARACTERS", 300)
    monkeypatch.setattr(counting, "KNOWN_CHARACTERS", 500)
    assert measure(tokenizer, lines) == whole


@pytest.mark.parametrize("late", [False, True])
def test_a_tokenizer_that_looks_across_spaces(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces over two words: lines are encoded whole, from the first batch on or when it shows."""
    from tokenizers import Tokenizer, models

    bare = Tokenizer(
        models.Unigram([("<unk>", 0.0), ("a", -2.0), (" ", -2.0), ("b", -2.0), ("a b", -1.0)], 0)
    )
    monkeypatch.setattr(counting, "BATCH_CHARACTERS", 64)
    monkeypatch.setattr(counting, "CHECKED_EVERY", 1)
    lines = ["b a"] * (200 if late else 0) + ["a b"] * 200
    found = measure(bare, lines)
    notes = "some lines were counted word by word, which this tokenizer does not always do"
    assert found.notes == ((notes,) if late else ())
    assert found.pieces == (600 if late else 0) + 200
