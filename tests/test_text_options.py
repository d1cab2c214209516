from __future__ import annotations

from pathlib import Path

import pytest

from lowres import text_options
from lowres.errors import DataError, LanguageError, LowresError
from lowres.recipe_text import Adapt, Extend

YORUBA, HAUSA, IGBO = Path("text/yor_Latn.txt"), Path("more/hau_Latn.txt"), Path("ibo_Latn.txt")


def test_a_file_name_says_its_language():
    text = text_options.text([YORUBA, HAUSA], None, None, None, 300)
    assert text.languages == ("yor_Latn", "hau_Latn")
    assert text.path("files", "hau_Latn") == "more/hau_Latn.txt"
    assert text.path("translations", "yor_Latn") is None
    assert text.held_out == 300


def test_lang_says_it_for_other_names():
    text = text_options.text(
        [Path("a.txt"), Path("b.txt")], ["yor-Latn", "HAU_latn"], None, None, 20
    )
    assert text.files == {"yor_Latn": "a.txt", "hau_Latn": "b.txt"}


def test_one_translation_serves_all_texts_or_each_has_its_own():
    one = text_options.text([YORUBA, HAUSA], None, [Path("eng.txt")], None, 300)
    assert one.translations == {"yor_Latn": "eng.txt", "hau_Latn": "eng.txt"}
    two = text_options.text(
        [YORUBA, HAUSA], None, [Path("e1"), Path("e2")], [Path("w1"), Path("w2")], 300
    )
    assert two.path("translations", "hau_Latn") == "e2"
    assert two.path("lexicon", "yor_Latn") == "w1"


@pytest.mark.parametrize(
    ("files", "languages", "says"),
    [
        (["notes.txt"], None, "--lang: the name of notes.txt is no language code; give it"),
        (["yor.txt"], None, "--lang: the name of yor.txt is no language code; give it"),
        (["a.txt"], ["yorr_Latn"], "--lang: 'yorr_Latn' is no language code; expected"),
        (["a.txt"], ["yoo_Latn"], "--lang: unknown language 'yoo'"),
        (["a.txt"], ["yor_Latn", "hau_Latn"], "--lang: 2 for 1 texts; give one a --text"),
        (["a.txt", "b.txt"], ["yor_Latn"], "--lang: 1 for 2 texts; give one a --text"),
        (
            ["a/yor_Latn.txt", "b/yor_Latn.txt"],
            None,
            "--lang: yor_Latn, yor_Latn: one text a language; join the files",
        ),
        (["a.txt", "b.txt"], ["yor_Latn", "yor-Latn"], "one text a language; join the files"),
    ],
)
def test_a_language_that_nobody_says_is_refused(files, languages, says):
    with pytest.raises(LanguageError) as caught:
        text_options.text([Path(name) for name in files], languages, None, None, 300)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("option", ["--translation", "--lexicon"])
@pytest.mark.parametrize("count", [2, 4])
def test_files_beside_the_texts_are_counted(option, count):
    files = [Path(f"{number}.txt") for number in range(count)]
    beside = (files, None) if option == "--translation" else (None, files)
    said = rf"{option}: {count} for 3 texts; give one for all, or one a --text"
    with pytest.raises(DataError, match=said):
        text_options.text([YORUBA, HAUSA, IGBO], None, *beside, 300)


@pytest.mark.parametrize("held_out", [-1, 0, 19, 100_001])
def test_how_much_is_held_out_has_limits(held_out):
    with pytest.raises(LowresError, match="--held-out: input should be"):
        text_options.text([YORUBA], None, None, None, held_out)


def test_pieces_are_a_number_or_auto():
    assert text_options.extend("2000", "mean", ["a.txt"]) == Extend(
        pieces=2000, init="mean", keep=("a.txt",)
    )
    assert text_options.extend("auto", "auto", []) == Extend()


@pytest.mark.parametrize("pieces", ["0", "-5", "1.5", "many", "", "²", "100001", "true"])
def test_other_pieces_are_refused(pieces):
    with pytest.raises(LowresError, match="--pieces: expected auto, or a whole number from 1 to"):
        text_options.extend(pieces, "auto", [])


def test_an_unknown_initialisation_names_the_nearest():
    with pytest.raises(
        LowresError, match=r"--init: unknown initialisation 'aling'; did you mean 'al"
    ):
        text_options.extend("auto", "aling", [])


def test_a_text_to_keep_is_named_once():
    with pytest.raises(LowresError, match=r"--keep: names a\.txt twice"):
        text_options.extend("auto", "auto", ["a.txt", "a.txt"])


def test_options_that_were_not_given_have_the_recipes_defaults():
    assert text_options.adapt(objective=None, epochs=None, rank=None) == Adapt()
    assert text_options.adapt(objective="mlm", rank=4) == Adapt(objective="mlm", rank=4)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"objective": "algin"}, "--objective: unknown objective 'algin'; did you mean 'align'?"),
        ({"epochs": 0.0}, "--epochs: input should be greater than 0"),
        ({"steps": 0}, "--steps: input should be greater than or equal to 1"),
        ({"batch": 1}, "--batch: input should be greater than or equal to 2"),
        ({"learning_rate": float("nan")}, "--learning-rate: input should be a finite number"),
        ({"rows_learning_rate": -1.0}, "--rows-learning-rate: input should be greater than 0"),
        ({"rank": 0}, "--rank: input should be greater than or equal to 1"),
    ],
)
def test_a_bad_option_is_named_as_it_was_written(given, says):
    with pytest.raises(LowresError) as caught:
        text_options.adapt(**given)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
