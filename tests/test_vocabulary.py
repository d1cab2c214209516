"""Pieces chosen for a text and written into the model of each family, from text to tokenizer."""

from __future__ import annotations

import json

import pytest

from lowres import bases, extension, model, tokenizer_families, vocabulary
from lowres.errors import DataError

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
