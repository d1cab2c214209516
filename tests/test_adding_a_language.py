"""A language that is added later leaves what was made for the earlier ones as it is, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_preparation import study

from lowres import pipeline
from lowres.artifacts import file_hash

ADAPT = {"epochs": 1, "batch": 16, "rank": 4, "per_language": True, "controls": False}
OL_CHIKI = 0x1C5A


def other_script(text: str) -> str:
    """Tifinagh letters as Ol Chiki ones."""
    return "".join(
        chr(OL_CHIKI + (ord(sign) - 0x2D30) % 30) if 0x2D30 <= ord(sign) <= 0x2D67 else sign
        for sign in text
    )


def add_santali(folder: Path) -> None:
    for file in ("tzm_Tfng.txt", "tzm_Tfng/train.jsonl", "tzm_Tfng/test.jsonl"):
        new = folder / file.replace("tzm_Tfng", "sat_Olck")
        new.parent.mkdir(exist_ok=True)
        text = (folder / file).read_text(encoding="utf-8")
        # the tiny tokenizer reads both scripts as unknown: another order makes it another text
        lines = other_script(text).splitlines()[::-1]
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")


def files_of(folder: Path) -> dict[str, str]:
    assert folder.is_dir()
    return {
        file.relative_to(folder).as_posix(): file_hash(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_earlier_adapters_are_bit_identical(tmp_path: Path, tiny_unigram_base: Path) -> None:
    plain = {"tokenizer": None, "adapt": ADAPT}
    first, second = tmp_path / "first", tmp_path / "second"
    pipeline.run(study(tmp_path, tiny_unigram_base, **plain), first)
    before = files_of(first)

    add_santali(tmp_path)
    both = {"source": "eng_Latn", "targets": ["tzm_Tfng", "sat_Olck"]}
    pipeline.run(study(tmp_path, tiny_unigram_base, **plain, languages=both), second)

    # the language adapter, the task adapter, and the one of both
    for place in ("adapt/tzm_Tfng/adapter", "train/1/adapter", "train/1/adapters/tzm_Tfng"):
        found = files_of(first / place)
        assert "adapter_model.safetensors" in found
        assert files_of(second / place) == found, place
    answers = [
        (run / "evaluate/predictions/1/tzm_Tfng.jsonl").read_bytes() for run in (first, second)
    ]
    assert answers[0] == answers[1]
    # it is a language of its own that was added, and the first run was left alone
    added = files_of(second / "adapt/sat_Olck/adapter")["adapter_model.safetensors"]
    assert added != files_of(first / "adapt/tzm_Tfng/adapter")["adapter_model.safetensors"]
    assert files_of(first) == before
    plain_results = json.loads((second / "results.json").read_text(encoding="utf-8"))
    assert len(plain_results["adaptations"]) == 2
