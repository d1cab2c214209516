from __future__ import annotations

import random
from pathlib import Path

import pytest

from lowres import bilingual
from lowres.errors import DataError
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
    found = bilingual.of_text(text(), tiny_tokenizer)
    assert found.spaced
    assert likeliest(found) == dict(zip(PLAIN, NUER, strict=True))
    for entries in found.entries.values():
        assert len(entries) <= bilingual.MOST
        assert sum(share for _, share in entries) == pytest.approx(1)


def test_the_word_list_has_half(tiny_tokenizer):
    listed = [("ɣöt", "House"), ("duel", "house"), ("kuɛ ɣɔ̱a̱", "star")]
    found = bilingual.of_text(text(lexicon=listed), tiny_tokenizer).entries
    assert dict(found["house"])["ɣöt"] == pytest.approx(0.25)
    assert sum(share for _, share in found["house"]) == pytest.approx(1)
    assert found["star"] == (("kuɛ ɣɔ̱a̱", 1.0),)


def test_a_word_list_alone(tiny_tokenizer):
    found = bilingual.of_text(text(pairs=0, lexicon=[("duel", "house")]), tiny_tokenizer)
    assert found.entries == {"house": (("duel", 1.0),)}


def test_pieces_are_the_words_of_a_language_without_spaces(tiny_tokenizer):
    # in letters that the tiny tokenizer has, one piece each
    words = tuple("abcdef")
    alone = [piece for word in words for piece in bilingual._pieces(tiny_tokenizer, word)]
    assert alone == list(words)
    found = bilingual.of_text(text("shn_Mymr", words), tiny_tokenizer)
    assert not found.spaced
    assert all("".join(w for w, _ in entries).isalpha() for entries in found.entries.values())


def lists(folder, *codes):
    for code in codes:
        (folder / f"{code}.tsv").write_text("house\tduel\nHouse\tɣöt\n", encoding="utf-8")
    return str(folder / "{lang}.tsv")


def test_word_lists_of_all_targets_or_of_some(tmp_path):
    named = lists(tmp_path, "nus_Latn", "shn_Mymr")
    found = bilingual.of_lists(named, ("nus_Latn", "shn_Mymr"), "key")
    assert [each.language for each in found] == ["nus_Latn", "shn_Mymr"]
    assert [each.spaced for each in found] == [True, False]
    assert found[0].entries == {"house": (("duel", 0.5), ("ɣöt", 0.5))}
    one = {"nus_Latn": str(tmp_path / "nus_Latn.tsv")}
    assert bilingual.of_lists(one, ("nus_Latn", "tzm_Tfng"), "key") == found[:1]


def test_word_lists_that_are_not_there(tmp_path):
    named = lists(tmp_path, "nus_Latn")
    with pytest.raises(DataError, match=r"^key: no file .*tzm_Tfng.tsv \(tzm_Tfng\); add it, or"):
        bilingual.of_lists(named, ("nus_Latn", "tzm_Tfng"), "key")
    with pytest.raises(DataError, match=r"^key: names bam_Latn; expected targets \(nus_Latn\)"):
        bilingual.of_lists({"bam_Latn": named}, ("nus_Latn",), "key")
    (tmp_path / "nus_Latn.tsv").write_text("house duel\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"nus_Latn.tsv:1: expected `translation TAB word`"):
        bilingual.of_lists(named, ("nus_Latn",), "key")
