"""The extensions that come with lowres: what lies in `tokenizers/`, and how a recipe takes one."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_language

from lowres import bases, extension, model, prebuilt, vocabulary
from lowres.errors import DataError, RunError


def test_what_is_shipped_is_whole_and_helps():
    assert len(prebuilt.names()) >= 12
    for name in prebuilt.names():
        found = prebuilt.read(name)
        assert len(found.pieces) == found.provenance["pieces"] == len(set(found.pieces)), name
        assert found.provenance["licence"]
        for row in found.provenance["held_out"]:
            assert row["unknown_after"] <= 0.001, name
            assert row["round_trip_after"] >= row["round_trip_before"], name
            assert row["characters"] > 0, name
        # what is said to change is of sentences that the pieces were not chosen by
        assert found.provenance["changed_unseen"], name
        assert len(found.provenance["changed"]) >= 40, name
        assert all(
            "SIB-200, dev and test" in row["language"] for row in found.provenance["changed"]
        )


def test_every_one_is_listed_with_what_is_measured():
    rows = prebuilt.rows()
    assert [row["name"] for row in rows] == list(prebuilt.names())
    for row in rows:
        assert max(row["changed"].values()) <= 1
        most = max(row["changed"], key=lambda language: row["changed"][language])
        share = row["changed"][most]
        assert row["changed elsewhere"] == (f"{most} {share:.1%}" if share else "0.0%")
    (shan,) = [row for row in rows if row["name"] == "xlmr-shn_Mymr"]
    assert "a character" in shan["held-out lines, pieces"], "it sets no spaces"


def test_an_unknown_name_gets_the_nearest():
    name = prebuilt.names()[0]
    with pytest.raises(DataError, match=rf"prebuilt: unknown .*did you mean '{name}'"):
        prebuilt.read(name + "x")


def test_one_of_another_vocabulary_is_refused(tiny_unigram_base):
    state = extension.state_of(model.load_tokenizer(bases.locate(str(tiny_unigram_base))))
    with pytest.raises(RunError, match="extends another vocabulary"):
        prebuilt.merged(prebuilt.names()[:1], state, "tiny")


def test_one_of_the_users_own(tiny_unigram_base, tmp_path):
    extended = tiny_language.extend(bases.locate(str(tiny_unigram_base)), tmp_path / "own")
    state = extension.state_of(model.load_tokenizer(bases.locate(str(tiny_unigram_base))))
    name = str(extended.extension)
    assert prebuilt.merged([name], state, "tiny").pieces == extension.read(Path(name)).pieces


@pytest.mark.slow
def test_two_at_once_on_the_real_vocabulary():
    state = extension.state_of(model.load_tokenizer(bases.locate("e5-small")))
    found = prebuilt.merged(("xlmr-dzo_Tibt", "xlmr-nus_Latn"), state, "e5-small")
    after = vocabulary.build(extension.extended_state(state, found.pieces, "e5-small"))
    before = vocabulary.build(state)
    assert after.token_to_id(found.pieces[-1]) == found.first_id + len(found.pieces) - 1
    assert after.token_to_id("<mask>") == before.token_to_id("<mask>") == 250001
    text = "རྫོང་ཁ་ལས་སླབ་ཨིན"
    assert 3 in before.encode(text).ids
    assert 3 not in after.encode(text).ids
