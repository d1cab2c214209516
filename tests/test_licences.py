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
