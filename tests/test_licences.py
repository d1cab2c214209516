from __future__ import annotations

import pytest

from lowres import licences
from lowres.licences import DataLicence


def test_what_the_recipe_says_comes_first():
    assert licences.of("Davlan/sib200", {}).licence == "cc-by-sa-4.0"
    given = licences.of("Davlan/sib200", {"Davlan/sib200": "cc-by-4.0"})
    assert given == DataLicence("Davlan/sib200", "cc-by-4.0", "as the recipe says")
    assert licences.of("lowres:demo/{lang}.tsv", {}).licence == "apache-2.0"
    assert licences.of("mydata/{lang}.tsv", {}) == DataLicence("mydata/{lang}.tsv", None)


def used(data, given=None, **sections):
    """Names, licences and ids of the Hub of what a recipe reads."""
    shown = lambda path: path.removeprefix("../shared/data/")  # noqa: E731
    found = licences.of_recipe({"data": data, **sections}, given or {}, shown)
    return {one.name: (one.licence, one.hub) for one in found}


LOCAL = "../shared/data/ner/{lang}/{split}.txt"


def test_a_local_copy_of_a_set_of_the_hub_has_its_licence():
    data = {"hub": "masakhane/masakhaner2", "files": LOCAL}
    assert used(data) == {"masakhane/masakhaner2": ("cc-by-nc-4.0", True)}
    (one,) = licences.of_recipe({"data": data}, {}, lambda path: "ner/x.txt")
    assert "read from a copy at ner/x.txt" in one.note
    # which may have other terms, where somebody says so
    assert used(data, {LOCAL: "cc-by-4.0"}) == {"ner/{lang}/{split}.txt": ("cc-by-4.0", False)}
    assert used(data, {"Masakhane/MasakhaNER2": "mit"}) == {"masakhane/masakhaner2": ("mit", True)}


def test_ids_are_read_as_the_hub_reads_them():
    assert licences.of("Masakhane/MasakhaNER2", {}).licence == "cc-by-nc-4.0"
    assert used({"hub": "MTEB/SIB200"}) == {"MTEB/SIB200": ("cc-by-sa-4.0", True)}


def test_every_set_that_the_recipes_read_is_known(repository):
    import yaml

    for file in (repository / "recipes").rglob("*.yaml"):
        data = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]
        for name, (licence, _) in used(data).items():
            assert licence is not None, (file.name, name)


@pytest.mark.parametrize("name", ["masakhane/masakhapos", "masakhane/afrixnli", "masakhane/mafand"])
def test_sets_of_the_notes_on_the_hub_are_known(name):
    assert licences.of(name, {}).licence


@pytest.mark.parametrize(
    "data",
    [
        {"hub": "commul/universal_dependencies", "names": {"tam_Taml": "ta_ttb"}},
        {
            "hub": "commul/universal_dependencies",
            "files": "ud/*/ta_ttb-ud.conllu",
        },
        {"hub": "universalner/universal_ner", "config": "tl_ugnayan"},
    ],
)
def test_a_treebank_that_is_not_for_commercial_use(data):
    found = licences.of_recipe({"data": data}, {}, str)
    reasons = [licences.forbids(one, "cc-by-sa-4.0") for one in found]
    assert [bool(reason) for reason in reasons] == [False, True]
    other = {**data, "names": {"eng_Latn": "en_ewt"}, "files": None, "config": "{lang}"}
    assert len(licences.of_recipe({"data": other}, {}, str)) == 1


def test_files_are_no_sets_of_the_hub():
    """Also where a path looks like an id."""
    found = used({"hub": "a/b"}, text={"files": "text/yor.txt", "lexicon": {"yor_Latn": "c/d"}})
    assert found == {"a/b": (None, True), "text/yor.txt": (None, False), "c/d": (None, False)}


def test_lists_of_words_and_names_are_data_too():
    ways = [{"name": "code_switch", "lexicon": "w/{lang}.tsv"}, {"name": "word_dropout"}]
    ways.append({"name": "entity_swap", "entities": {"yor_Latn": "names.tsv"}})
    found = used({"hub": "a/b"}, train={"augment": ways})
    assert list(found) == ["a/b", "w/{lang}.tsv", "names.tsv"]


@pytest.mark.parametrize(
    ("data", "licence", "said"),
    [
        ("cc-by-sa-4.0", "mit", True),
        ("cc-by-sa-4.0", "cc-by-nc-sa-4.0", True),
        ("cc-by-sa-3.0", "cc-by-sa-4.0", False),
        ("gpl-3.0", "mit", True),
        ("cc-by-4.0", "mit", False),
        (None, "mit", False),
    ],
)
def test_share_alike_is_said(data, licence, said):
    found = licences.alike(DataLicence("a/b", data), licence)
    assert (found is not None) == said
    if found:
        assert found.startswith(f"a/b is {data}, share-alike: ")
        assert found in licences.remarks([DataLicence("a/b", data)], licence)


@pytest.mark.parametrize(
    ("data", "licence", "fine"),
    [
        ("cc-by-nc-4.0", "mit", False),
        ("cc-by-nc-4.0", "cc-by-4.0", False),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", True),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", False),
        ("cc-by-sa-4.0", "cc-by-4.0", True),
        ("mit", "apache-2.0", True),
        (None, "mit", True),
    ],
)
def test_what_a_licence_of_the_data_forbids(data, licence, fine):
    assert (licences.forbids(DataLicence("a/b", data), licence) is None) == fine


def test_every_known_licence_is_an_identifier_of_the_hub():
    from lowres.recipe_publish import Publish

    for licence, note in licences.KNOWN.values():
        assert Publish(license=licence).license == licence
        assert note
