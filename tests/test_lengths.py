"""Lengths that a large tokenizer counted are kept; what they are, test_plan.py says."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from lowres import lengths, plan
from lowres.recipe_loading import load
from lowres.recipe_text import Adapt


def test_what_a_large_tokenizer_counted_is_kept(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path))
    kept, recipe = tmp_path / lengths.FOLDER, load("quickstart")
    texts = [f"the teacher opened the window {'again ' * (n % 7)}" for n in range(30)]

    said: list[str] = []

    def counted(more: int = 0) -> lengths.Lengths:
        text = [*texts, *["one more"] * more]
        columns = {"text": text, "label": ["a"] * len(text)}
        return lengths.of_columns(recipe, columns, tiny_base, 6, lengths.Reader(said.append))

    small = counted()
    assert (small.windows, small.labels, small.dev) == (30, 1, 6)
    assert not kept.exists(), "a small tokenizer is read in no time"
    monkeypatch.setattr(lengths, "LARGE", 1)
    assert counted() == small
    (file,) = kept.iterdir()
    with monkeypatch.context() as without:
        without.delattr(tokenizers, "Tokenizer")
        assert counted() == small
    assert not said
    whole = file.read_text()
    for damaged in ("{", "{}", '{"median": 1}', whole.replace(": 0,", ': "0",', 1)):
        assert damaged != whole
        file.write_text(damaged)
        assert counted() == small
        assert said == [f"{file}: damaged; the lengths of the text are counted again"]
        assert file.read_text() == whole
        said.clear()
    assert counted(more=1).windows == 31
    assert len(list(kept.iterdir())) == 2
    # where nothing can be written, all is counted again
    monkeypatch.setenv("LOWRES_CACHE", str(file))
    assert counted() == small


def test_a_plan_says_that_a_cache_was_damaged(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path))
    monkeypatch.setattr(lengths, "LARGE", 1)
    recipe = load("quickstart", [f"base.name={tiny_base}"])
    first = plan.make(recipe, "T4")
    (file,) = (tmp_path / lengths.FOLDER).iterdir()
    file.write_text("{")
    again = plan.make(recipe, "T4")
    assert again.warnings == (
        *first.warnings,
        f"{file}: damaged; the lengths of the text are counted again",
    )
    assert again.lengths == first.lengths


def test_raw_text_is_read_again_when_it_changes(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lengths, "LARGE", 1)
    files = {"swh_Latn": "the teacher\n" * 50, "hau_Latn": "the teacher opened the window\n" * 9}
    for name, text in files.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    words = [f"text.files={tmp_path}/{{lang}}.txt", "text.languages=[swh_Latn, hau_Latn]"]
    recipe = load("quickstart", [*words, "adapt.objective=mlm"])
    found = lengths.of_text(recipe, tiny_base)
    assert found.windows == 59
    assert found.median < found.longest < 20
    with monkeypatch.context() as without:
        without.delattr(tokenizers, "Tokenizer")
        assert lengths.of_text(recipe, tiny_base) == found
    with (tmp_path / "hau_Latn.txt").open("a", encoding="utf-8") as stream:
        stream.write("the window " * 200)
    assert lengths.of_text(recipe, tiny_base).longest == recipe.adapt.max_tokens  # type: ignore[union-attr]


def test_text_that_names_no_file_of_the_language(tiny_base: Path) -> None:
    recipe = load("quickstart", ["text.files={yor_Latn: x}", "text.languages=[swh_Latn]"])
    recipe = recipe.model_copy(update={"adapt": Adapt(objective="mlm")})
    found = lengths.of_text(recipe, tiny_base)
    assert (found.longest, "names no file" in found.note) == (128, True)
