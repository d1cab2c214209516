"""Pieces of recipes on the pages of the docs: each goes into a recipe that is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_docs_commands import ROOT, blocks

from lowres.recipe import Recipe
from lowres.recipe_loading import find, load

# what a page's pieces are for, where the demonstration's own recipe is for something else
GIVEN = {
    "few-labels.md": [],
    "strategies.md": [],
    "augment.md": ["task.name=tagging"],
    "data-formats.md": [],
}
ELSEWHERE = {
    "README.md", "tutorial.md", "publish.md", "extend-and-adapt.md", "sweep.md", "translations.md",
}  # fmt: skip
"""Pages whose pieces are read by the tests of their commands."""


def over(under: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    """A section's keys in place of those of the same name."""
    both = dict(under)
    for key, value in piece.items():
        mine = under.get(key)
        deeper = isinstance(mine, dict) and isinstance(value, dict)
        both[key] = over(mine, value) if deeper else value
    return both


def pieces(page: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in blocks(ROOT / "docs" / "how-to" / page, "yaml")]


def read(folder: Path, plain: dict[str, Any], page: str) -> Recipe:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return load(str(file), GIVEN[page])


def demonstration() -> dict[str, Any]:
    plain: dict[str, Any] = yaml.safe_load(find("quickstart").read_text(encoding="utf-8"))
    return plain


def test_every_page_with_pieces_of_recipes_is_read_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert {page.name for page in pages if blocks(page, "yaml")} == {*GIVEN, *ELSEWHERE}


@pytest.mark.parametrize("page", GIVEN)
def test_each_piece_goes_into_a_recipe(tmp_path: Path, page: str) -> None:
    found = pieces(page)
    assert found
    for piece in found:
        plain = demonstration()
        if set(piece) == {"few_shot"}:
            # how examples are trained on goes with how many
            plain = over(plain, found[0])
        read(tmp_path, over(plain, piece), page)


def test_a_key_that_is_none_would_be_found(tmp_path: Path) -> None:
    plain = over(demonstration(), {"few_shot": {"epoch": 3}})
    with pytest.raises(Exception, match=r"few_shot\.epoch"):
        read(tmp_path, plain, "few-labels.md")
