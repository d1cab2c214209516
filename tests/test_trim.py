from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language
import tiny_study
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_language import SENTENCES
from tiny_study import CPU
from transformers import AutoConfig, AutoTokenizer

from lowres import model, recipe_text, trim, trimmed
from lowres.augment import augment
from lowres.errors import DataError
from lowres.material import LanguageText
from lowres.progress import Silent
from lowres.train import train


@pytest.fixture(scope="module")
def tokenizer(tiny_unigram_base) -> Any:
    return AutoTokenizer.from_pretrained(tiny_unigram_base)


def recipe(folder: Path, task: str = "classification", **extra: Any) -> Any:
    return tiny_study.recipe(folder, task, tokenizer={"trim": {"keep_text": []}, **extra})


def text_ids(tokenizer: Any, texts: Any) -> set[int]:
    return {i for row in tokenizer(list(texts))["input_ids"] for i in row}


TEXTS = st.lists(st.text(alphabet="teachrwindow ⴰÉ ", max_size=20), min_size=1, max_size=30)


@given(TEXTS)
def test_all_pieces_of_the_texts_are_kept_and_no_others(tiny_unigram_base, texts):
    tokenizer = AutoTokenizer.from_pretrained(tiny_unigram_base)
    found = trim.kept_ids([tokenizer], texts)
    assert (np.diff(found) > 0).all()
    always = {0, tokenizer.unk_token_id, *tokenizer.all_special_ids}
    assert set(found.tolist()) == text_ids(tokenizer, texts) | always


def test_texts_are_read_as_they_come_and_whole(tokenizer):
    """After a call that cut and padded, and with more of them than are read at once."""
    tokenizer(["The teacher opened"], truncation=True, max_length=4, padding="max_length")
    found = trim.kept_ids([tokenizer], (text for text in ["The teacher opened the window"] * 2500))
    assert set(found.tolist()) >= text_ids(tokenizer, ["The teacher opened the window"])


def test_pieces_of_every_tokenizer_are_kept(tiny_base, tokenizer, tmp_path):
    located = tiny_language.extend(tiny_language.locate(tiny_base), tmp_path)
    both = [model.load_tokenizer(located.plain()), model.load_tokenizer(located)]
    found = set(trim.kept_ids(both, SENTENCES).tolist())
    assert found >= text_ids(both[0], SENTENCES) | text_ids(both[1], SENTENCES)
    assert max(found) >= len(both[0])


@pytest.mark.parametrize(
    ("unknown", "padding", "expected"), [(3, 1, 3), (0, 1, 0), (None, 1, 1), (None, None, 0)]
)
def test_the_piece_that_stands_for_what_has_none(unknown, padding, expected):
    class Tokens:
        unk_token_id = unknown
        pad_token_id = padding

    assert trim.unknown_id(Tokens()) == expected


@pytest.mark.parametrize("task", ["classification", "tagging", "pairs"])
def test_all_data_keep_their_pieces(tiny_base, tmp_path, task):
    study, data = recipe(tiny_base, task), tiny_study.data(task)
    located = tiny_language.locate(tiny_base)
    found = trim.trim(study, data, located, (), tmp_path)
    kept = trimmed.read(tmp_path / trimmed.FILE)
    rows = AutoConfig.from_pretrained(tiny_base).vocab_size
    assert (
        (found.rows_before, found.rows_after) == (rows, len(kept.ids)) == (kept.rows, len(kept.ids))
    )
    assert found.rows_after < 0.6 * rows
    assert found.mb_after < found.mb_before == round(rows * 32 * 4 / 2**20, 1)
    tokenizer = model.load_tokenizer(located)
    for part in (data.train, data.dev, *data.tests.values()):
        windows = study.task.encode(part, tokenizer, data.labels, 24)
        used = {i for row in windows["input_ids"] for i in row}
        assert used <= set(kept.ids.tolist())


def test_changed_copies_keep_their_pieces_for_every_seed(tiny_base, tmp_path):
    """What a slip of the pen makes of a word is in no other text."""
    ways = [{"name": "character_noise", "share": 1.0, "copies": 1}]
    sections = {"tokenizer": {"trim": {"keep_text": []}}, "train": {"augment": ways}}
    study = tiny_study.recipe(tiny_base, **sections).model_copy(update={"seeds": (3, 4)})
    data, located = tiny_study.data(), tiny_language.locate(tiny_base)
    trim.trim(study, data, located, (), tmp_path / "copies")
    kept = set(trimmed.read(tmp_path / "copies" / trimmed.FILE).ids.tolist())
    tokenizer = model.load_tokenizer(located)
    for seed in study.seeds:
        copies, _ = augment(data, study.train.augment, study.task, [()], "eng_Latn", seed)
        windows = study.task.encode(copies.train, tokenizer, data.labels, 24)
        assert {i for row in windows["input_ids"] for i in row} <= kept
    trim.trim(recipe(tiny_base), data, located, (), tmp_path / "none")
    assert set(trimmed.read(tmp_path / "none" / trimmed.FILE).ids.tolist()) < kept


def test_files_text_translations_and_word_lists_keep_theirs(tiny_base, tmp_path):
    kept_file, text_file = tmp_path / "more.txt", tmp_path / "text.txt"
    kept_file.write_text("El maestro abrió la ventana\n", encoding="utf-8")
    text_file.write_text("Malami ya buɗe taga\n\nbaƙo\nɗakin yana\n", encoding="utf-8")
    text = LanguageText(
        language="hau_Latn",
        path=text_file,
        learning_lines=3,
        learning_pairs=(("Malami ya", "Mwalimu alifungua"),),
        held_pairs=(("ɗakin yana", "chumba kilikuwa"),),
        lexicon=(("rana", "joto"),),
        notes=(),
    )
    study = recipe(tiny_base, trim={"keep_text": [str(kept_file)]})
    located = tiny_language.locate(tiny_base)
    trim.trim(study, tiny_study.data(), located, (text,), tmp_path / "stage")
    kept = set(trimmed.read(tmp_path / "stage" / trimmed.FILE).ids.tolist())
    every = [
        *("El maestro abrió la ventana", "Malami ya buɗe taga", "baƙo", "ɗakin yana"),
        *("Mwalimu alifungua", "chumba kilikuwa", "rana", "joto"),
    ]
    assert text_ids(model.load_tokenizer(located), every) <= kept


def test_new_pieces_bring_rows_of_their_own(tiny_base, tmp_path):
    located = tiny_language.extend(tiny_language.locate(tiny_base), tmp_path / "extension")
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(SENTENCES), encoding="utf-8")
    study = recipe(tiny_base, trim={"keep_text": [str(lines)]})
    trim.trim(study, tiny_study.data(), located, (), tmp_path)
    kept = trimmed.read(tmp_path / trimmed.FILE)
    assert kept.ids.max() < kept.rows == len(model.load_tokenizer(located.plain()))


def test_a_file_that_is_missing_is_named(tiny_base, tmp_path):
    study = recipe(tiny_base, trim={"keep_text": [str(tmp_path / "none.txt")]})
    with pytest.raises(DataError, match=r"tokenizer\.trim\.keep_text .*none\.txt: no such file"):
        trim.trim(study, tiny_study.data(), tiny_language.locate(tiny_base), (), tmp_path)


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_training_over_a_trimmed_table_comes_to_the_same_to_the_letter(tiny_base, tmp_path, task):
    study, data = recipe(tiny_base, task), tiny_study.data(task)
    located = tiny_language.extend(tiny_language.locate(tiny_base), tmp_path / "extension")
    trim.trim(study, data, located, (), tmp_path)
    small = replace(located, kept=str(tmp_path / trimmed.FILE))
    outcomes, weights = [], []
    for name, base in (("whole", located), ("small", small)):
        folder = tmp_path / name
        folder.mkdir()
        outcomes.append(train(study, 1, data, base, CPU, folder, Silent()))
        weights.append(load_file(folder / "adapter" / "adapter_model.safetensors"))
    assert outcomes[0].dev == outcomes[1].dev
    assert outcomes[1].parameters < outcomes[0].parameters
    assert outcomes[1].trainable_parameters == outcomes[0].trainable_parameters
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert value.equal(weights[1][name]), name


def test_the_recipe_section():
    assert recipe_text.Trim(keep_text="a.txt").keep_text == ("a.txt",)
