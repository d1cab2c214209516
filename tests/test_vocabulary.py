"""Pieces chosen for a text and written into the model of each family, from text to tokenizer."""

from __future__ import annotations

import json
import random

import pytest

from lowres import (
    bases,
    extension,
    material,
    model,
    text_options,
    tokenizer_families,
    vocabulary,
)
from lowres.errors import DataError
from lowres.extend import learn as learn_texts

NUER = [f"Mi wä rɔ̱ mal kɛ yɔ̱ŋ {i} kɛ min wä nhial, kä ca̱a̱ rɔ gɔ̱r kɛ thiɛlɔ̱ŋ" for i in range(60)]
KEEP = {"eng_Latn": ["The teacher opened the window because the room was hot."] * 3}


@pytest.fixture(params=["tiny_base", "tiny_unigram_base", "tiny_bpe_base"])
def state(request):
    folder = request.getfixturevalue(request.param)
    return extension.state_of(model.load_tokenizer(bases.locate(str(folder))))


def learn(state, pieces):
    return vocabulary.learn(state, {"nus_Latn": NUER}, KEEP, pieces, "tiny")


def test_every_family_is_extended_from_text(state):
    learned = learn(state, 12)
    assert len(learned.pieces) == len(set(learned.pieces)) == 12
    before = vocabulary.build(state)
    after = vocabulary.build(extension.extended_state(state, learned.pieces, "tiny"))
    first = tokenizer_families.next_id(state)
    assert [after.token_to_id(p) for p in learned.pieces] == list(range(first, first + 12))
    old = before.get_vocab(with_added_tokens=True)
    assert {piece: after.token_to_id(piece) for piece in old} == old
    assert vocabulary.changed_share(before, after, KEEP["eng_Latn"]) == 0
    ids = [i for e in after.encode_batch(NUER, add_special_tokens=False) for i in e.ids]
    assert any(i >= first for i in ids), "new pieces are used"
    assert vocabulary.round_trips(after, NUER) >= vocabulary.round_trips(before, NUER)


def test_the_same_text_gives_the_same_bytes(state):
    learnt = [extension.extended_state(state, learn(state, 12).pieces, "tiny") for _ in range(3)]
    assert len({json.dumps(found, ensure_ascii=False) for found in learnt}) == 1


def test_without_pieces_that_no_word_holds_the_text_falls_into_the_same(state):
    family = tokenizer_families.of(state, "tiny")
    lines = [*NUER, *KEEP["eng_Latn"], "ⵜ <0x41> 42"]
    full = vocabulary.build(state)
    small = family.reduced(state, vocabulary.words_of(full, lines))
    if family.LABEL == "Unigram":
        assert len(small["model"]["vocab"]) < len(state["model"]["vocab"])
    for new in ([], ["▁kɛ", "rɔ", "yɔ̱ŋ"]):
        found = []
        for each in (state, small):
            old = family.segment(each, new)
            found.append(vocabulary.build(family.insert(each, new, old) if new else each))
        large, quick = ([e.tokens for e in t.encode_batch(lines)] for t in found)
        assert large == quick


def test_auto_shows_its_curve(state):
    learned = learn(state, "auto")
    assert learned.curve[0].pieces == 0
    assert learned.curve[0].tokens == 1
    assert len(learned.pieces) <= learned.offered


def test_more_than_the_text_offers(state):
    with pytest.raises(DataError, match=r"extend\.pieces 90000: the text offers \d+"):
        learn(state, 90_000)


def test_what_the_base_cannot_read_is_added_though_kept_text_names_it(tiny_unigram_base):
    """A translation that names the language in its own script must not cost it its letters."""
    state = extension.state_of(model.load_tokenizer(bases.locate(str(tiny_unigram_base))))
    lines = [f"ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴻⵍⵍⴰ ⴷⴳ {i} ⵓⵅⵅⴰⵎ" for i in range(60)]
    keep = {"translations": [*KEEP["eng_Latn"], "Its speakers call it ⵜⴰⵎⴰⵣⵉⵖⵜ."]}
    learned = vocabulary.learn(state, {"tzm_Tfng": lines}, keep, "auto", "tiny")
    after = vocabulary.build(extension.extended_state(state, learned.pieces, "tiny"))
    unknown = tokenizer_families.of(state, "tiny").unknown_id(state)
    ids = [i for e in after.encode_batch(lines, add_special_tokens=False) for i in e.ids]
    assert unknown not in ids


def test_halves_share_no_line_and_part_them_alike_in_any_text():
    lines = [f"line number {i} of the text" for i in range(200)]
    one = vocabulary.halved({"a": lines, "b": lines[::-1] + lines[:50]})
    assert not set(one.choosing["a"]) & set(one.judging["a"])
    assert sorted(one.choosing["a"] + one.judging["a"]) == sorted(lines)
    assert set(one.choosing["b"]) == set(one.choosing["a"])
    assert set(one.judging["b"]) == set(one.judging["a"])
    assert 60 < len(one.judging["a"]) < 140


def test_little_text_is_kept_whole():
    lines = [f"line number {i}" for i in range(vocabulary.JUDGED_FROM - 1)]
    found = vocabulary.halved({"few": lines, "one": [lines[0]] * 100})
    assert found.choosing == {"few": lines, "one": [lines[0]] * 100}
    assert found.judging == {"few": [], "one": []}


@pytest.mark.parametrize("side", ["choosing", "judging"])
def test_what_changes_is_said_of_lines_that_did_not_choose(tiny_unigram_base, tmp_path, side):
    """Words of the language in the half that chooses are left out, those in the other are told."""
    draw = random.Random(1)
    words = ["the", "teacher", "opened", "a", "window", "because", "this", "room", "was", "hot"]
    english = [" ".join(draw.sample(words, len(words))) for _ in range(100)]
    halves = vocabulary.halved({"kept": english})
    strange = set(getattr(halves, side)["kept"])
    keep = {
        name: [line + " ca̱a̱ rɔ gɔ̱r kɛ thiɛlɔ̱ŋ" * (line in strange) for line in lines["kept"]]
        for name, lines in (("choosing", halves.choosing), ("judging", halves.judging))
    }
    (tmp_path / "nus_Latn.txt").write_text(
        "".join(" ".join(draw.sample(NUER[0].split(), 9)) + "\n" for _ in range(60)).replace(
            "0", ""
        ),
        encoding="utf-8",
    )
    described = text_options.text([tmp_path / "nus_Latn.txt"], None, None, None, 20)
    located = bases.locate(str(tiny_unigram_base))
    found = learn_texts(
        text_options.extend("10", "mean", []),
        located,
        material.load(described, ()),
        model.load_tokenizer(located),
        vocabulary.Kept({"kept": keep["choosing"]}, {"kept": keep["judging"]}),
    )
    (changed,) = found.changed
    assert found.changed_unseen
    assert changed.n == len(keep["judging"])
    assert changed.share == (1.0 if side == "judging" else 0.0)
    said = extension.in_words(found)[-1]
    assert "that did not choose them: kept " in said
    assert f"{changed.share:.1%} of {changed.n}" in said


def test_a_word_without_end_is_looked_at_in_part():
    """10 MB without a space: each join would pass over all of it."""
    from lowres.tokenizer_families import _merges

    words = ["abcd" * 2_500_000, "efgh"]
    found = _merges.learn(words, [1, 9], 100, lambda pair: len("".join(pair)) <= 16)
    assert found == _merges.learn(
        [word[: _merges.LONGEST_WORD] for word in words],
        [1, 9],
        100,
        lambda pair: len("".join(pair)) <= 16,
    )
    assert ("e", "f") in found


def test_of_very_many_words_the_frequent_ones_are_looked_at(monkeypatch):
    from lowres.tokenizer_families import _merges

    monkeypatch.setattr(_merges, "MOST_WORDS", 2)
    found = _merges.learn(["ab", "cd", "ef"], [5, 9, 7], 10, lambda pair: True)
    assert found == [("c", "d"), ("e", "f")]
