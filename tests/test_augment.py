from __future__ import annotations

import random

import pytest
import tiny_study
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres import registry
from lowres.augment import augment, check
from lowres.augmentations import Lexicon
from lowres.data import LabelledData
from lowres.errors import DataError
from lowres.words import form

WAYS = registry.names("augmentations")
NUER = Lexicon(
    "nus_Latn",
    {"the": (("in", 1.0),), "room": (("duel", 0.5), ("rɛy duel", 0.5)), "river": (("yier", 1.0),)},
    spaced=True,
    origin="lists/nus_Latn.tsv",
)
SHAN = Lexicon("shn_Mymr", {"the": (("ဢၼ်", 1.0),), "room": (("ႁွင်ႈ", 1.0),)}, False, "shan.tsv")


def way(name, **options):
    return registry.module("augmentations", name).Options(name=name, **options)


def of_tags(rows):
    examples = Dataset.from_list(rows)
    return LabelledData(tiny_study.TAGS, examples, examples, {}, {}, (), {}, ())


def made(data, task, ways, lexicons=(NUER,), seed=1):
    options = registry.module("tasks", task).Options(name=task)
    own = [lexicons if each.bilingual else () for each in ways]
    return augment(data, ways, options, own, "eng_Latn", seed)


def words(row):
    return row["tokens"] if "tokens" in row else row["text"].split()


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("task", ["classification", "pairs", "tagging"])
def test_copies_stand_beside_the_examples_and_keep_their_labels(name, task):
    data = tiny_study.data(task)
    found, notes = made(data, task, [way(name, copies=3)])
    rows, old = found.train.to_list(), data.train.to_list()
    assert found.train.features == data.train.features
    assert rows[: len(old)] == old
    copies = rows[len(old) :]
    assert len(copies) == 3 * len(old)
    assert len({row["id"] for row in rows}) == len(rows)
    gold = "tags" if task == "tagging" else "label"
    for row in copies:
        source = old[int(row["id"].split("+")[0])]
        assert row["id"].split("+")[1].startswith(name)
        if task == "tagging":
            assert len(row["tokens"]) == len(row["tags"])
        else:
            assert row[gold] == source[gold]
    assert any(words(row) != words(old[int(row["id"].split("+")[0])]) for row in copies)
    assert notes[-1] == f"train.augment: {name}: 132 examples beside 44"
    assert found.dev is data.dev


def test_several_ways_each_change_the_examples_alone():
    data = tiny_study.data()
    both, _ = made(data, "classification", [way("word_dropout"), way("code_switch")])
    one, _ = made(data, "classification", [way("code_switch")])
    assert both.train.to_list()[44 * 3 :] == one.train.to_list()[44:]


def test_one_way_twice_is_two_draws_with_ids_of_their_own():
    data = tiny_study.data()
    found, _ = made(data, "classification", [way("word_dropout", copies=1)] * 2)
    rows = found.train.to_list()
    assert len({row["id"] for row in rows}) == 3 * 44
    assert [r["text"] for r in rows[44:88]] != [r["text"] for r in rows[88:]]


def test_draws_are_the_seeds():
    data, ways = tiny_study.data(), [way("word_dropout")]
    first, again, other = (made(data, "classification", ways, seed=n)[0] for n in (1, 1, 2))
    assert first.train.to_list() == again.train.to_list() != other.train.to_list()


def test_words_are_switched_between_their_punctuation():
    switch = way("code_switch").word
    draw = random.Random(1)
    assert switch("(The", NUER, draw) == "(in"
    assert switch("window,", NUER, draw) is None
    assert {switch("room.", NUER, draw) for _ in range(50)} == {"duel.", "rɛy duel."}
    half = way("code_switch", share=0.5).word
    assert {half("the", NUER, draw) for _ in range(50)} == {"in", None}


def test_two_words_of_a_language_without_spaces_stand_side_by_side():
    row = {"id": "1", "language": "eng_Latn", "text": "was the room hot", "label": "trade"}
    data = of_tags([row])
    found, _ = made(data, "classification", [way("code_switch", copies=1)], (SHAN,))
    assert found.train["text"][1] == "was ဢၼ်ႁွင်ႈ hot"


def test_languages_take_turns():
    data = tiny_study.data()
    found, notes = made(data, "classification", [way("code_switch")], (NUER, SHAN))
    copies = found.train.to_list()[44:]
    mine = [any("\u1000" <= c <= "\u109f" for c in row["text"]) for row in copies]
    first, second = mine[:44], mine[44:]
    assert not any(a and b for a, b in zip(first, second, strict=True))
    assert 5 < sum(first) < 39
    assert len(notes) == 3


def test_entities_keep_their_words_and_others_change_to_one_word_only():
    row = {
        "id": "1",
        "language": "eng_Latn",
        "tokens": ["the", "the", "river", "room"],
        "tags": ["O", "B-LOC", "I-LOC", "O"],
    }
    found, _ = made(of_tags([row]), "tagging", [way("code_switch", copies=20)])
    for copy in found.train.to_list()[1:]:
        assert copy["tags"] == row["tags"]
        assert copy["tokens"][:3] == ["in", "the", "river"]
        assert copy["tokens"][3] in ("duel", "room")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["the", "room", "a", "...", "Nuer"]), min_size=1, max_size=8),
    st.sampled_from(WAYS),
    st.integers(0, 1000),
)
def test_every_word_keeps_its_tag(tokens, name, seed):
    tags = [("O", "B-LOC", "I-LOC")[(seed + at) % 3] for at in range(len(tokens))]
    numbered = [f"{word}" for word in tokens]
    row = {"id": "1", "language": "eng_Latn", "tokens": numbered, "tags": tags}
    more = {"id": "2", "language": "eng_Latn", "tokens": ["the"] * 9, "tags": ["O"] * 9}
    found, _ = made(of_tags([row, more]), "tagging", [way(name, copies=1)], seed=seed)
    copy = next(r for r in found.train.to_list() if r["id"].startswith("1+"))
    assert len(copy["tokens"]) == len(copy["tags"]) > 0
    inside = [pair for pair in zip(tokens, tags, strict=True) if pair[1] != "O"]
    assert [p for p in zip(copy["tokens"], copy["tags"], strict=True) if p[1] != "O"] == inside
    if name != "word_dropout":
        assert copy["tags"] == tags


def test_a_text_is_never_left_empty():
    row = {"id": "1", "language": "eng_Latn", "text": "a", "label": "trade"}
    found, _ = made(of_tags([row]), "classification", [way("word_dropout", copies=50)])
    assert set(found.train["text"]) == {"a"}


def test_letters_go_with_their_marks():
    noise, draw = way("character_noise", share=1.0).word, random.Random(0)
    found = {noise("kä̱ma.", None, draw) for _ in range(200)}
    assert found >= {"kma.", "kä̱ä̱ma.", "kmä̱a."}
    assert all(word[0] == "k" and word[-1] == "." for word in found)
    assert noise("ab", None, draw) is None


def test_words_are_found_however_they_are_composed():
    decomposed = {form("e\u0301te\u0301!"): (("ruel", 1.0),)}
    lexicon = Lexicon("nus_Latn", decomposed, True, "")
    assert way("code_switch").word("Été,", lexicon, random.Random(1)) == "ruel,"


def test_a_lexicon_of_another_language_is_refused():
    french = Lexicon("nus_Latn", {"maison": (("duel", 1.0),)}, True, "lists/nus_Latn.tsv")
    said = r"^lists/nus_Latn.tsv: holds 0% of the words of eng_Latn's training .*eng_Latn TAB nus_"
    with pytest.raises(DataError, match=said):
        made(tiny_study.data(), "classification", [way("code_switch")], (french,))


@pytest.fixture
def listed(tmp_path):
    """A recipe whose word lists lie in a folder."""

    def write(content):
        (tmp_path / "swh_Latn.tsv").write_text(content, encoding="utf-8")
        ways = [{"name": "word_dropout"}, {"name": "code_switch"}]
        ways[1]["lexicon"] = str(tmp_path / "{lang}.tsv")
        return tiny_study.recipe(tmp_path, train={"augment": ways})

    return write


def test_word_lists_are_looked_at_before_any_work(listed):
    check(tiny_study.data(), listed("the\tya\nwas\tilikuwa\n"))
    with pytest.raises(DataError, match=r"^train.augment\[1\].lexicon .*swh_Latn.tsv: holds 0%"):
        check(tiny_study.data(), listed("ya\tthe\nilikuwa\twas\n"))
    with pytest.raises(DataError, match=r"swh_Latn.tsv:1: expected `translation TAB word`"):
        check(tiny_study.data(), listed("the ya\n"))
