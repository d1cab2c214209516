"""What must hold of every way to augment, for any sentence: labels stay with what they label."""

from __future__ import annotations

import random
from difflib import SequenceMatcher

import pytest
import regex
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres import registry
from lowres.augment import _runs, _text, augment
from lowres.augmentations import AugmentationOptions, Lexicon
from lowres.data import LabelledData
from lowres.mentions import spans_of
from lowres.words import parted

KINDS = ("PER", "LOC")
LABELS = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI"))
ENTRIES = {"the": (("in", 0.9), ("a b", 0.1)), "été": (("ruel", 1.0),), "ada": (("adä", 1.0),)}
NUER = Lexicon("nus_Latn", ENTRIES, spaced=True, origin="nus_Latn.tsv")
BY_WORDS = tuple(
    name
    for name in registry.names("augmentations")
    if not registry.module("augmentations", name).Options.spans
)
# Latin with marks, Tifinagh, N'Ko, Ethiopic, Devanagari, Khmer, Hebrew points, emoji, punctuation
WORDS = st.one_of(
    st.sampled_from(["the", "The", "(été)", "Ada", "...", "“été”,", "a", "👩🏽‍🌾"]),
    st.text("abkɛ́ä̱ⵜⴰⵎߒߞߏሰላምनमस्तेភាសាש\u05c1", min_size=1, max_size=7),
)
TAGS = st.sampled_from(["O", *LABELS])
SETTINGS = settings(deadline=None, max_examples=80)


@st.composite
def sentences(draw, tags=TAGS):
    """A tagged sentence, any tag behind any other: annotators err."""
    tokens = draw(st.lists(WORDS, min_size=1, max_size=9))
    return tokens, [draw(tags) for _ in tokens]


@st.composite
def well_tagged(draw):
    """A tagged sentence whose `I-` all go on an entity."""
    tokens, tags = draw(sentences())
    for at, tag in enumerate(tags):
        before = tags[at - 1] if at else "O"
        if tag.startswith("I-") and before[2:] != tag[2:]:
            tags[at] = f"B-{tag[2:]}"
    return tokens, tags


def valid(tags):
    return all(
        tag[:2] != "I-" or before[2:] == tag[2:]
        for before, tag in zip(["O", *tags], tags, strict=False)
    )


def tagged(sentence, number):
    tokens, tags = sentence
    return {"id": str(number), "language": "eng_Latn", "tokens": tokens, "tags": tags}


# what there is to look up and to swap, whatever else was drawn
KNOWN = tagged(
    (["the", "Bo", "Li", "the", "Rome", "Bonn"], ["O", "B-PER", "I-PER", *"O"] + ["B-LOC"] * 2), 0
)


def copies(rows, task, name, seed, **options):
    """(example, copy of it) of one way."""
    way = registry.module("augmentations", name).Options(name=name, copies=1, **options)
    examples = Dataset.from_list(rows)
    data = LabelledData(LABELS, examples, examples, {}, {}, (), {}, ())
    chosen = registry.module("tasks", task).Options(name=task)
    own = [(NUER,)] if way.bilingual else [()]
    found, _ = augment(data, [way], chosen, own, "eng_Latn", seed)
    made = found.train.to_list()
    assert made[: len(rows)] == rows
    again, _ = augment(data, [way], chosen, own, "eng_Latn", seed)
    assert again.train.to_list() == made
    return list(zip(rows, made[len(rows) :], strict=True))


def outside(row):
    inside = {at for start, end, _ in spans_of(row["tags"]) for at in range(start, end)}
    return [word for at, word in enumerate(row["tokens"]) if at not in inside]


def entities(row):
    return [(kind, tuple(row["tokens"][start:end])) for start, end, kind in spans_of(row["tags"])]


@SETTINGS
@given(st.lists(sentences(), max_size=3), st.integers(0, 2**32), st.floats(0.05, 1))
def test_a_swapped_entity_is_another_of_its_type(drawn, seed, share):
    rows = [KNOWN, *(tagged(one, at) for at, one in enumerate(drawn, start=1))]
    every = {one for row in rows for one in entities(row)}
    for row, copy in copies(rows, "tagging", "entity_swap", seed, share=share):
        assert len(copy["tokens"]) == len(copy["tags"])
        assert outside(copy) == outside(row)
        kinds = [kind for kind, _ in entities(row)]
        assert [kind for kind, _ in entities(copy)] == kinds
        assert set(entities(copy)) <= every
        assert set(copy["tags"]) <= set(LABELS)


@SETTINGS
@given(st.lists(well_tagged(), max_size=3), st.integers(0, 2**32))
def test_swapped_tags_are_bio(drawn, seed):
    rows = [KNOWN, *(tagged(one, at) for at, one in enumerate(drawn, start=1))]
    assert all(valid(row["tags"]) for row in rows)
    for _, copy in copies(rows, "tagging", "entity_swap", seed, share=1.0):
        assert valid(copy["tags"])


@SETTINGS
@given(st.lists(well_tagged(), max_size=3), st.integers(0, 2**32))
def test_a_share_of_one_swaps_every_entity_that_has_another(drawn, seed):
    rows = [KNOWN, *(tagged(one, at) for at, one in enumerate(drawn, start=1))]
    every = {one for row in rows for one in entities(row)}
    of = {kind: sum(other == kind for other, _ in every) for kind in KINDS}
    for row, copy in copies(rows, "tagging", "entity_swap", seed, share=1.0):
        for old, new in zip(entities(row), entities(copy), strict=True):
            assert (old != new) == (of[old[0]] > 1)


@pytest.mark.parametrize("name", BY_WORDS)
@SETTINGS
@given(drawn=sentences(st.sampled_from([*LABELS, "NOUN"])), seed=st.integers(0, 2**32))
def test_words_keep_their_tags_and_entities_their_words(name, drawn, seed):
    row, copy = copies([KNOWN, tagged(drawn, 1)], "tagging", name, seed)[1]
    pairs, old = (list(zip(r["tokens"], r["tags"], strict=True)) for r in (copy, row))
    assert [pair for pair in pairs if pair[1][:2] in ("B-", "I-")] == [
        pair for pair in old if pair[1][:2] in ("B-", "I-")
    ]
    if name == "word_dropout":
        left = iter(old)
        assert all(pair in left for pair in pairs)
    else:
        assert copy["tags"] == row["tags"]
    assert pairs


@pytest.mark.parametrize("name", BY_WORDS)
@pytest.mark.parametrize("task", ["classification", "pairs"])
@SETTINGS
@given(
    drawn=st.lists(WORDS, min_size=1, max_size=9),
    other=st.lists(WORDS, min_size=1, max_size=9),
    seed=st.integers(0, 2**32),
)
def test_a_text_keeps_its_label_and_the_order_of_its_words(name, task, drawn, other, seed):
    base = {"language": "eng_Latn", "label": "nature"}
    first = {"id": "0", "text": "the the the the", **base}
    row = {"id": "1", "text": " ".join(drawn), **base}
    if task == "pairs":
        first["text_pair"], row["text_pair"] = "the the", " ".join(other)
    row, copy = copies([first, row], task, name, seed)[1]
    assert (copy["label"], copy["language"]) == (row["label"], row["language"])
    for field in ("text", "text_pair") if task == "pairs" else ("text",):
        old, new = row[field].split(), copy[field].split()
        if name == "word_dropout":
            left = iter(old)
            assert all(word in left for word in new)
        elif name == "character_noise":
            assert len(new) == len(old)
        assert new


@SETTINGS
@given(st.lists(WORDS, min_size=1, max_size=9), st.integers(0, 2**32))
def test_a_switched_word_is_a_translation_in_the_same_punctuation(drawn, seed):
    row = tagged((drawn, ["NOUN"] * len(drawn)), 1)
    _, copy = copies([KNOWN, row], "tagging", "code_switch", seed, share=1.0)[1]
    for old, new in zip(drawn, copy["tokens"], strict=True):
        before, core, after = parted(old)
        found = ENTRIES.get(core.casefold(), ())
        options = {f"{before}{word}{after}" for word, _ in found if " " not in word}
        assert new in options or (new == old and (not found or core.casefold() == "the"))


@SETTINGS
@given(st.lists(WORDS, min_size=1, max_size=9), st.integers(0, 2**32))
def test_a_slip_is_of_the_word_s_own_letters(drawn, seed):
    """So it is of its script; letters go with their marks."""
    row = tagged((drawn, ["NOUN"] * len(drawn)), 1)
    _, copy = copies([KNOWN, row], "tagging", "character_noise", seed, share=1.0)[1]
    for old, new in zip(drawn, copy["tokens"], strict=True):
        before, core, after = parted(old)
        letters = regex.findall(r"\X", core)
        if len(letters) < 3:
            assert new == old
            continue
        assert new.startswith(before + letters[0])
        assert new.endswith(after)
        assert set(new) <= set(old)
        assert abs(len(new) - len(old)) <= max(map(len, letters))


THAI = "แม่น้ำสายนี้ไหลผ่านหมู่บ้านของเราและชาวบ้านจับปลาทุกเช้า"
JAPANESE = "この川は私たちの村を流れていて、村人は毎朝魚を捕ります。"


def options(name, **given):
    return registry.module("augmentations", name).Options(name=name, **given)


@given(
    st.lists(st.text(st.sampled_from([*THAI, *JAPANESE]), min_size=1, max_size=60), max_size=5),
    st.integers(0, 99),
)
@SETTINGS
def test_a_text_without_spaces_loses_runs_and_nothing_else(sentences, seed):
    text = " ".join(" ".join(sentences).split())
    left = _text(text, options("word_dropout", share=0.3), None, random.Random(seed))
    rest = iter(text)
    assert all(letter in rest for letter in left), "what is left stands in its order"
    assert "  " not in left
    for word in text.split():
        letters = [letter for run in _runs(word) for letter in regex.findall(r"\X", run)]
        assert letters == regex.findall(r"\X", word), "a letter keeps its marks"
    assert _text(text, AugmentationOptions(name="none"), None, random.Random(seed)) == text


@pytest.mark.parametrize("text", [THAI, JAPANESE])
def test_a_sentence_without_spaces_is_not_one_word(text):
    draws = [random.Random(seed) for seed in range(40)]
    left = [_text(text, options("word_dropout", share=0.2), None, draw) for draw in draws]
    assert all(left), "a part of it stays"
    assert 0.7 < sum(map(len, left)) / (40 * len(text)) < 0.9
    noisy = options("character_noise", share=1.0)
    slips = regex.findall(r"\X", _text(text, noisy, None, random.Random(1)))
    own = regex.findall(r"\X", text)
    changes = SequenceMatcher(None, own, slips, False).get_opcodes()
    assert sum(kind != "equal" for kind, *_ in changes) > 2
    assert _runs("umfana") == ["umfana"]
