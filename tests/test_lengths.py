"""Lengths that a large tokenizer counted are kept; what they are, test_plan.py says."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from lowres import lengths
from lowres.recipe_loading import load


def test_what_a_large_tokenizer_counted_is_kept(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path))
    kept, recipe = tmp_path / lengths.FOLDER, load("quickstart")
    texts = [f"the teacher opened the window {'again ' * (n % 7)}" for n in range(30)]

    def counted(more: int = 0) -> lengths.Lengths:
        text = [*texts, *["one more"] * more]
        return lengths.of_columns(recipe, {"text": text, "label": ["a"] * len(text)}, tiny_base, 6)

    small = counted()
    assert (small.windows, small.labels, small.dev) == (30, 1, 6)
    assert not kept.exists(), "a small tokenizer is read in no time"
    monkeypatch.setattr(lengths, "LARGE", 1)
    assert counted() == small
    (file,) = kept.iterdir()
    with monkeypatch.context() as without:
        without.delattr(tokenizers, "Tokenizer")
        assert counted() == small
    for damaged in ("{", "{}", '{"median": 1}', file.read_text().replace("30,", '"30",', 1)):
        file.write_text(damaged)
        assert counted() == small
    assert counted(more=1).windows == 31
    assert len(list(kept.iterdir())) == 2
    # where nothing can be written, all is counted again
    monkeypatch.setenv("LOWRES_CACHE", str(file))
    assert counted() == small
