from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lowres import locations
from lowres.errors import DataError
from lowres.locations import Origin
from lowres.recipe_data import DataSource
from lowres.registry import PACKAGE_DIR


def origin(**spec: Any) -> Origin:
    return Origin(DataSource(**spec), "data", "swh_Latn")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{lnag}/{split}.tsv", r"data.files: unknown placeholder \{lnag\} .*did you mean 'lang'"),
        ("{}/x", r"unknown placeholder \{\}"),
        ("{lang!r}", r"unknown placeholder \{lang\}"),
        ("{lang:>9}", r"unknown placeholder \{lang\}"),
        ("{lang/{split}.tsv", "is no template"),
        ("lang}/{split}.tsv", "is no template"),
        ("{lang.x}", "unknown placeholder"),
    ],
)
def test_malformed_templates(template: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        locations.check_template(DataSource(files=template), "data", ("swh_Latn",))
    assert "{lang}, {split}" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("{lang}.tsv", r"data.files: .* has no \{split\}"),
        ("{split}.tsv", r"data.files: .* has no \{lang\}: swh_Latn, yor_Latn"),
        ({"test": "test.tsv"}, r"data.files.test: .* has no \{lang\}"),
    ],
)
def test_one_file_for_two_uses(files: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        locations.check_template(DataSource(files=files), "data", ("swh_Latn", "yor_Latn"))


def test_one_language_needs_no_placeholder() -> None:
    locations.check_template(DataSource(files="en-{split}.tsv"), "data", ("eng_Latn",))
    locations.check_template(DataSource(hub="a/b"), "data", ("eng_Latn", "yor_Latn"))


def test_dev_is_found_by_its_usual_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swa").mkdir()
    (tmp_path / "swa" / "valid.csv").touch()
    usual = origin(files="{lang}/{split}.csv", names={"swh_Latn": "swa"})
    found = locations.find(usual, "dev")
    assert found is not None
    assert found.shown == "swa/valid.csv"
    assert locations.find(usual, "train") is None
    named = origin(files="swa/{split}.csv", splits={"dev": "held"})
    assert [place.shown for place in locations.candidates(named, "dev")] == ["swa/held.csv"]


def test_one_path_a_split() -> None:
    where = origin(files={"train": "{lang}-a.tsv", "dev": "{split}.tsv"})
    assert [place.shown for place in locations.candidates(where, "train")] == ["swh_Latn-a.tsv"]
    assert len(locations.candidates(where, "dev")) == 3
    assert locations.candidates(where, "test") == []
    assert locations.absent(where, "test") == "swh_Latn: data.files gives no path for test"


def test_files_of_the_package() -> None:
    where = origin(files="lowres:demo/{lang}/{split}.jsonl")
    found = locations.find(where, "test")
    assert found is not None
    assert found.path == PACKAGE_DIR / "demo" / "swh_Latn" / "test.jsonl"
    assert found.shown == "lowres:demo/swh_Latn/test.jsonl"


def test_what_is_missing_is_named_with_what_is_near(tmp_path: Path) -> None:
    for name in ("swh", "yor"):
        (tmp_path / name).mkdir()
    where = origin(files=f"{tmp_path}/{{lang}}/{{split}}.tsv")
    assert locations.absent(where, "test") == (
        f"swh_Latn test: no file {tmp_path}/swh_Latn/test.tsv; did you mean 'swh'?"
    )
    (tmp_path / "swh_Latn").mkdir()
    (tmp_path / "swh_Latn" / "LICENCE").touch()
    (tmp_path / "swh_Latn" / ".hidden").touch()
    assert locations.absent(where, "dev").endswith(f"{tmp_path}/swh_Latn holds LICENCE")


def test_a_star_stands_for_one_file(tmp_path: Path) -> None:
    for folder in ("UD_Swahili-A", "UD_Yoruba-[B]"):
        (tmp_path / folder).mkdir()
    (tmp_path / "UD_Swahili-A" / "swh_Latn-test.tsv").touch()
    (tmp_path / "UD_Yoruba-[B]" / "yor_Latn-test.tsv").touch()
    place = locations.find(origin(files=f"{tmp_path}/*/{{lang}}-{{split}}.tsv"), "test")
    assert place is not None
    assert place.path == tmp_path / "UD_Swahili-A" / "swh_Latn-test.tsv"
    assert place.shown == str(place.path)

    bracket = origin(files=f"{tmp_path}/*[B]/yor_Latn-{{split}}.tsv")
    assert locations.find(bracket, "test") is not None, "brackets are letters, not a pattern"
    assert locations.find(bracket, "train") is None

    (tmp_path / "UD_Yoruba-[B]" / "swh_Latn-test.tsv").touch()
    with pytest.raises(DataError, match=r"matches 2 files .* exactly one must match"):
        locations.find(origin(files=f"{tmp_path}/*/{{lang}}-{{split}}.tsv"), "test")
