from __future__ import annotations

import random
from pathlib import Path

import pytest

from lowres import bilingual
from lowres.material import LanguageText

PLAIN = ("house", "water", "goat", "red", "old", "sees")
NUER = ("Duel", "pi̱i̱", "dɛl", "lualɛ", "dit", "nɛn")


def text(language="nus_Latn", words=NUER, pairs=60, lexicon=()):
    lines, draw = [], random.Random(1)
    for _ in range(pairs):
        chosen = draw.choices(range(len(PLAIN)), k=4)
        joined = "" if language.endswith("Mymr") else " "
        lines.append(
            (joined.join(words[i] for i in chosen) + ".", " ".join(PLAIN[i] for i in chosen) + "?")
        )
    return LanguageText(language, Path("x"), pairs, tuple(lines), (), tuple(lexicon), ())


def likeliest(found):
    return {word: entries[0][0] for word, entries in found.entries.items()}


def test_words_are_aligned_as_they_stand_most_often(tiny_tokenizer):
    found = bilingual.lexicon(text(), tiny_tokenizer)
    assert found.spaced
    assert likeliest(found) == dict(zip(PLAIN, NUER, strict=True))
    for entries in found.entries.values():
        assert len(entries) <= bilingual.MOST
        assert sum(share for _, share in entries) == pytest.approx(1)


def test_the_word_list_has_half(tiny_tokenizer):
    listed = [("ɣöt", "House"), ("duel", "house"), ("kuɛ ɣɔ̱a̱", "star")]
    found = bilingual.lexicon(text(lexicon=listed), tiny_tokenizer).entries
    assert dict(found["house"])["ɣöt"] == pytest.approx(0.25)
    assert sum(share for _, share in found["house"]) == pytest.approx(1)
    assert found["star"] == (("kuɛ ɣɔ̱a̱", 1.0),)


def test_a_word_list_alone(tiny_tokenizer):
    found = bilingual.lexicon(text(pairs=0, lexicon=[("duel", "house")]), tiny_tokenizer)
    assert found.entries == {"house": (("duel", 1.0),)}


def test_pieces_are_the_words_of_a_language_without_spaces(tiny_tokenizer):
    # in letters that the tiny tokenizer has, one piece each
    words = tuple("abcdef")
    alone = [piece for word in words for piece in bilingual._pieces(tiny_tokenizer, word)]
    assert alone == list(words)
    found = bilingual.lexicon(text("shn_Mymr", words), tiny_tokenizer)
    assert not found.spaced
    assert all("".join(w for w, _ in entries).isalpha() for entries in found.entries.values())
