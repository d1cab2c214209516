from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
import tiny_study
from datasets import Dataset
from pydantic import ValidationError

from lowres import registry
from lowres.augment import augment, check
from lowres.augmentations import Lexicon, Mentions
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


def tagged(*sentences, labels=tiny_study.TAGS):
    """(words, tags) each as text; a language behind them, or English."""
    rows = [
        {
            "id": str(number),
            "language": (*language, "eng_Latn")[0],
            "tokens": words.split(),
            "tags": tags.split(),
        }
        for number, (words, tags, *language) in enumerate(sentences)
    ]
    return replace(of_tags(rows), labels=tuple(labels))


def made(data, task, ways, lexicons=(NUER,), seed=1):
    options = registry.module("tasks", task).Options(name=task)
    own = [lexicons if each.bilingual or each.spans else () for each in ways]
    return augment(data, ways, options, own, "eng_Latn", seed)


def words(row):
    return row["tokens"] if "tokens" in row else row["text"].split()


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (name, task)
        for name in WAYS
        for task in ("classification", "pairs", "tagging")
        if task == "tagging" or not way(name).spans
    ],
)
def test_copies_stand_beside_the_examples_and_keep_their_labels(name, task):
    data, chosen = tiny_study.data(task), way(name, copies=3)
    found, notes = made(data, task, [chosen], (NUER,) if chosen.bilingual else ())
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


def test_a_lexicon_that_is_the_wrong_way_round_is_refused():
    """Some words of any language are English ones by chance, so that it may hold enough."""
    english = ("room", "the", "window", "because", "they", "hot")
    nuer = ("duel", "in", "opened", "was", "kɛn", "leth")
    back = {word: ((other, 1.0),) for word, other in zip(nuer, english, strict=True)}
    turned = Lexicon("nus_Latn", back, True, "lists/nus_Latn.tsv")
    said = (
        r"^lists/nus_Latn.tsv: is the wrong way round: (\d+)% of .* of nus_Latn, (\d+)% among what "
        r"it translates; expected `eng_Latn TAB nus_Latn`, in this order: swap its columns$"
    )
    with pytest.raises(DataError, match=said) as caught:
        made(tiny_study.data(), "classification", [way("code_switch")], (turned,))
    one, other = re.match(said, str(caught.value)).groups()
    assert int(one) > int(other) >= 10


def test_a_lexicon_of_another_script_is_refused():
    olck = replace(NUER, language="sat_Olck", origin="lists/sat_Latn.tsv")
    said = r"^lists/sat_Latn.tsv: 0% of its letters are Olck, as sat_Olck says, 100% Latn"
    with pytest.raises(DataError, match=said):
        made(tiny_study.data(), "classification", [way("code_switch")], (olck,))


SPANS = (
    ("Ada of New York ran", "B-PER O B-LOC I-LOC O"),
    ("Bo Li and Paris", "B-PER I-PER O B-LOC"),
    ("nothing here", "O O"),
)
NAMED = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_an_entity_gives_way_to_another_with_tags_of_its_own():
    found, notes = made(
        tagged(*SPANS, labels=NAMED), "tagging", [way("entity_swap", copies=1, share=1.0)], ()
    )
    rows = found.train.to_list()[3:]
    assert [(" ".join(row["tokens"]), " ".join(row["tags"])) for row in rows] == [
        ("Bo Li of Paris ran", "B-PER I-PER O B-LOC O"),
        ("Ada and New York", "B-PER O B-LOC I-LOC"),
        ("nothing here", "O O"),
    ]
    assert notes == (
        "train.augment: entity_swap: 2 LOC, 2 PER in eng_Latn's training examples",
        "train.augment: entity_swap: 3 examples beside 3",
    )


def test_about_the_share_of_entities_is_swapped():
    many = tagged(*[SPANS[at % 2] for at in range(200)], labels=NAMED)
    found, _ = made(many, "tagging", [way("entity_swap", copies=1, share=0.3)], ())
    old, new = found.train.to_list()[:200], found.train.to_list()[200:]
    swapped = [
        a["tokens"][at] != b["tokens"][at]
        for at in (0, -1)
        for a, b in zip(old[at::2], new[at::2], strict=True)
    ]
    assert 0.2 < sum(swapped) / len(swapped) < 0.4


def test_an_entity_stays_in_its_language():
    """Of several sources, none lends its names to another."""
    data = tagged(
        ("Ada ran", "B-PER O"),
        ("Bo ran", "B-PER O"),
        ("Kato yagenda", "B-PER O", "lug_Latn"),
        ("Nalule yagenda", "B-PER O", "lug_Latn"),
        labels=NAMED,
    )
    found, _ = made(data, "tagging", [way("entity_swap", copies=20, share=1.0)], ())
    for row in found.train.to_list():
        english = row["language"] == "eng_Latn"
        assert row["tokens"][0] in (("Ada", "Bo") if english else ("Kato", "Nalule"))


def test_names_of_the_targets_take_turns():
    lists = (
        Mentions({"PER": (("Kato",), ("Ssali", "Kato"))}, "lug.tsv"),
        Mentions({"PER": (("Diop",),)}, "wol.tsv"),
    )
    data = tagged(*SPANS, labels=NAMED)
    found, notes = made(data, "tagging", [way("entity_swap", copies=6, share=1.0)], lists)
    copies = [row["tokens"][:2] for row in found.train.to_list()[3:]]
    first = {" ".join(words).removesuffix(" of") for words in copies[0::6]}
    second = {" ".join(words).removesuffix(" of") for words in copies[3::6]}
    assert first == {"Kato", "Ssali Kato"}
    assert second == {"Diop"}
    # the data's own where a list has none of a type
    assert {tuple(row["tokens"][-2:]) for row in found.train.to_list()[4::3]} == {("New", "York")}
    assert notes[:3] == (
        "train.augment: entity_swap: 2 PER in lug.tsv",
        "train.augment: entity_swap: 1 PER in wol.tsv",
        "train.augment: entity_swap: 2 LOC, 2 PER in eng_Latn's training examples",
    )


@pytest.mark.parametrize(
    ("labels", "sentences", "says"),
    [
        (("ADJ", "ADP", "NOUN"), [("a b", "ADJ NOUN")], "mark none (ADJ, ADP, NOUN); expected O"),
        (("O", "B-X", "E-X"), [("a b", "B-X E-X")], "mark none (O, B-X, E-X); expected O and"),
        (("O",), [("a b", "O O")], "mark none (O)"),
        (NAMED, [("Ada and Ada", "B-PER O B-PER")], "have no two of any type: leave it out"),
    ],
)
def test_entities_must_be_there_to_be_swapped(tmp_path, labels, sentences, says):
    data = tagged(*sentences, labels=labels)
    recipe = tiny_study.recipe(
        tmp_path, "tagging", train={"augment": [{"name": "entity_swap", "copies": 1}]}
    )
    for look in (
        lambda: check(data, recipe),
        lambda: made(data, "tagging", recipe.train.augment, ()),
    ):
        with pytest.raises(DataError, match=re.escape(says)) as caught:
            look()
        assert str(caught.value).startswith("train.augment: entity_swap ")


@pytest.mark.parametrize("task", ["classification", "pairs"])
def test_other_tasks_have_no_entities(tmp_path, task):
    ways = [{"name": "word_dropout"}, {"name": "entity_swap"}]
    said = rf"train.augment\[1\]: entity_swap changes entities, and task {task} has none"
    with pytest.raises(ValidationError, match=said):
        tiny_study.recipe(tmp_path, task, train={"augment": ways})


def test_names_are_looked_at_before_any_work(tmp_path):
    file = tmp_path / "swh_Latn.tsv"
    data = tagged(*SPANS, labels=NAMED)
    ways = [{"name": "entity_swap", "entities": str(tmp_path / "{lang}.tsv")}]
    recipe = tiny_study.recipe(tmp_path, "tagging", train={"augment": ways})
    for content, says in (
        (None, r"^train.augment\[0\].entities .*swh_Latn.tsv: no such file"),
        ("PER Juma\n", r"swh_Latn.tsv:1: expected `type TAB name`"),
        ("Juma\tPER\n", r"^train.augment\[0\].entities .*: Juma: no such type among the labels"),
    ):
        if content is not None:
            file.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=says):
            check(data, recipe)
    file.write_text("PER\tJuma\n", encoding="utf-8")
    check(data, recipe)


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
    with pytest.raises(
        DataError, match=r"^train.augment\[1\].lexicon .*swh_Latn.tsv: is the wrong"
    ):
        check(tiny_study.data(), listed("ya\tthe\nilikuwa\twas\n"))
    with pytest.raises(DataError, match=r"swh_Latn.tsv:1: expected `translation TAB word`"):
        check(tiny_study.data(), listed("the ya\n"))
