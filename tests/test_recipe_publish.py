from __future__ import annotations

import pytest
from pydantic import ValidationError

from lowres.recipe_loading import from_mapping, load
from lowres.recipe_publish import Publish


@pytest.mark.parametrize("licence", ["cc-by-4.0", "mit", "apache-2.0", "c-uda", "bsl-1.0"])
def test_identifiers_of_the_hub(licence):
    assert Publish(license=licence).license == licence


@pytest.mark.parametrize("licence", ["CC BY 4.0", "", "MIT", "mit\nx", "cc by"])
@pytest.mark.parametrize("key", ["license", "data_licenses"])
def test_what_is_no_identifier(licence, key):
    value = licence if key == "license" else {"a/b": licence}
    with pytest.raises(ValidationError, match="is no licence identifier of the Hub"):
        Publish(**{key: value})


def test_authors_are_a_list_without_doubles():
    assert Publish(authors="Ada").authors == ("Ada",)
    with pytest.raises(ValidationError):
        Publish(authors=["Ada", "Ada"])


def test_it_is_no_part_of_what_names_a_run():
    from lowres.pipeline import run_folder

    plain = load("quickstart").model_dump(mode="json")
    plain.pop("publish", None)
    one = from_mapping(plain)
    other = from_mapping({**plain, "publish": {"license": "mit"}})
    assert run_folder(one) == run_folder(other)
