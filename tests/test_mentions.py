from __future__ import annotations

import pytest

from lowres import mentions
from lowres.augmentations import Mentions
from lowres.errors import DataError


def row(tokens, tags, language="eng_Latn"):
    return {"language": language, "tokens": tokens.split(), "tags": tags.split()}


def test_entities_of_each_language_by_type_each_once():
    found = mentions.of_examples(
        [
            row("Ada saw New York in Paris", "B-PER O B-LOC I-LOC O B-LOC"),
            row("Paris and Ada", "B-LOC O B-PER"),
            row("Kampala kya Ada", "B-LOC O O", "lug_Latn"),
            row("kale", "O", "kin_Latn"),
        ]
    )
    assert found["eng_Latn"].by_type == {
        "PER": (("Ada",),),
        "LOC": (("New", "York"), ("Paris",)),
    }
    assert found["lug_Latn"].by_type == {"LOC": (("Kampala",),)}
    assert found["lug_Latn"].origin == "lug_Latn's training examples"
    assert found["kin_Latn"].by_type == {}


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-A I-A O", [(1, 3, "A")]),
        ("B-A B-A I-B", [(0, 1, "A"), (1, 2, "A"), (2, 3, "B")]),
        ("I-A I-A O I-B", [(0, 2, "A"), (3, 4, "B")]),
        ("NOUN VERB", []),
        ("B-geo-loc I-geo-loc", [(0, 2, "geo-loc")]),
    ],
)
def test_spans_in_order_as_span_f1_has_them(tags, spans):
    assert mentions.spans_of(tags.split()) == spans


def test_a_list_of_names(tmp_path):
    file = tmp_path / "names.tsv"
    file.write_text(
        "\ufeffPER\tAda  Lovelace\r\n\nLOC\tⴰⴳⴰⴷⵉⵔ\tan extra column\n"
        "PER\tAda Lovelace\nPER\tKato\n",
        encoding="utf-8",
    )
    found = mentions.read(file, "train.augment[0].entities")
    assert found.by_type == {"PER": (("Ada", "Lovelace"), ("Kato",)), "LOC": (("ⴰⴳⴰⴷⵉⵔ",),)}
    assert found.origin == f"train.augment[0].entities {file}"


@pytest.mark.parametrize("line", ["PER Ada", "PER\t ", "\tAda", "PER,Ada", "PER\t\tAda"])
def test_what_is_no_list_of_names(tmp_path, line):
    file = tmp_path / "names.tsv"
    file.write_text(f"PER\tKato\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"names.tsv:2: expected `type TAB name`, one name a line"):
        mentions.read(file, "train.augment[0].entities")


def test_types_that_a_list_lacks_are_the_data_s():
    names = Mentions({"PER": (("Kato",),)}, "names.tsv")
    data = Mentions({"PER": (("Ada",),), "LOC": (("Paris",),)}, "eng_Latn's training examples")
    found = mentions.over(names, data)
    assert found == Mentions({"PER": (("Kato",),), "LOC": (("Paris",),)}, "names.tsv")


def test_types_must_be_the_labels():
    # a list with its columns swapped has names in the place of types
    names = Mentions({"PER": (("Kato",),), "Ada": (("PER",),)}, "names.tsv")
    said = r"^names.tsv: Ada: no such type among the labels; expected lines .* of LOC, PER"
    with pytest.raises(DataError, match=said):
        mentions.check_types(names, {"PER", "LOC"})
    mentions.check_types(names, {"PER", "LOC", "Ada"})
