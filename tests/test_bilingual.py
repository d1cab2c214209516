from __future__ import annotations

import random
from pathlib import Path

import pytest
import tiny_study

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


@pytest.fixture
def asking(tmp_path):
    """A study of two targets whose one way to augment names word lists in a folder."""

    def ask(named, *codes):
        for code in codes:
            (tmp_path / f"{code}.tsv").write_text("house\tduel\nHouse\tɣöt\n", encoding="utf-8")
        languages = {"source": "eng_Latn", "targets": ["nus_Latn", "shn_Mymr"]}
        if isinstance(named, str):
            named = str(tmp_path / named)
        else:
            named = {code: str(tmp_path / name) for code, name in named.items()}
        ways = [{"name": "code_switch", "lexicon": named}]
        return tiny_study.recipe(tmp_path, languages=languages, train={"augment": ways})

    return ask


def test_word_lists_of_all_targets_or_of_some(asking, tmp_path):
    found = bilingual.of_lists(asking("{lang}.tsv", "nus_Latn", "shn_Mymr"), 0)
    assert [each.language for each in found] == ["nus_Latn", "shn_Mymr"]
    assert [each.spaced for each in found] == [True, False]
    assert found[0].entries == {"house": (("duel", 0.5), ("ɣöt", 0.5))}
    assert found[0].origin == f"train.augment[0].lexicon {tmp_path / 'nus_Latn.tsv'}"
    assert bilingual.of_lists(asking({"nus_Latn": "nus_Latn.tsv"}), 0) == found[:1]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("{lang}.tsv", r"^train.augment\[0\].lexicon .*shn_Mymr.tsv: no such file"),
        ({"bam_Latn": "x"}, r"^train.augment\[0\].lexicon: names bam_Latn; expected targets \(nus"),
        ({"nus_Latn": "."}, r"^train.augment\[0\].lexicon .*: is a folder"),
    ],
)
def test_word_lists_that_are_not_there(asking, named, says):
    recipe = asking(named, "nus_Latn")
    for look in (bilingual.files, bilingual.of_lists, bilingual.digests):
        with pytest.raises(DataError, match=says):
            look(recipe, 0)


def test_lists_of_names_are_what_a_swap_looks_into(tmp_path):
    file = tmp_path / "swh_Latn.tsv"
    file.write_text("PER\tJuma Ali\n", encoding="utf-8")
    ways = [{"name": "entity_swap"}, {"name": "entity_swap", "entities": {"swh_Latn": str(file)}}]
    recipe = tiny_study.recipe(tmp_path, "tagging", train={"augment": ways})
    assert bilingual.of_lists(recipe, 0) == ()
    assert bilingual.digests(recipe, 0) == []
    (names,) = bilingual.of_lists(recipe, 1)
    assert names.by_type == {"PER": (("Juma", "Ali"),)}
    assert names.origin == f"train.augment[1].entities {file}"
    # a run on other names is another one
    before = bilingual.digests(recipe, 1)
    file.write_text("PER\tJuma\n", encoding="utf-8")
    assert bilingual.digests(recipe, 1) != before


def test_entries_are_found_however_they_are_composed(tiny_tokenizer):
    listed = [("duel", "e\u0301te\u0301 "), ("ɣöt", "Hello!")]
    found = bilingual.of_text(text(pairs=0, lexicon=listed), tiny_tokenizer)
    assert set(found.entries) == {"été", "hello"}
