"""The page on translations: its commands are run, as those of the other pages are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from test_docs_commands import ROOT, Reader, blocks, lines, reader, work

pytestmark = pytest.mark.slow

__all__ = ["reader", "work"]


def test_translations_are_used_as_the_page_says(reader: Reader, tiny_m2m: Path) -> None:
    page = ROOT / "docs" / "how-to" / "translations.md"
    (section,) = blocks(page, "yaml")
    plain = {
        "name": "study",
        "base": {"name": str(reader.base), "quantization": "none"},
        "languages": {"source": "eng_Latn", "targets": "swh_Latn"},
        "data": {"files": "mydata/{lang}/{split}.tsv"},
        "task": {"name": "classification"},
        "evaluate": {"baselines": ["majority"]},
    }
    (reader.folder / "mydata" / "swh_Latn").mkdir()
    english = (reader.folder / "mydata/eng_Latn/test.tsv").read_text(encoding="utf-8")
    swahili = english.replace("The market sells", "Soko linauza").replace("won", "ilishinda")
    (reader.folder / "mydata/swh_Latn/test.tsv").write_text(swahili, encoding="utf-8")
    (reader.folder / "study.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    validate, translate, run = lines(page)
    reader.shell(validate)
    small = f"{tiny_m2m} --max-tokens 12"
    reader.shell(translate.replace("facebook/m2m100_418M", small))
    # what a random model says is in no language
    for use, split in (("into", "train"), ("from", "test")):
        file = reader.folder / f"translations/{use}/swh_Latn.jsonl"
        assert len(file.read_text(encoding="utf-8").splitlines()) == 16
        rows = english.splitlines()[1:] if use == "from" else swahili.splitlines()[1:]
        told = [
            json.dumps({"id": f"{split}-{at}", "text": row.split("\t")[0]})
            for at, row in enumerate(rows, start=1)
        ]
        file.write_text("\n".join([*told, ""]), encoding="utf-8")
    reader.shell(run)
    (results,) = reader.folder.glob("runs/study-*/results.json")
    systems = {s["system"] for s in json.loads(results.read_text(encoding="utf-8"))["scores"]}
    assert systems == {"adapter", "majority", "translate-train", "translate-test"}
    # the section of the page is that of the overrides, and its row is one
    assert yaml.safe_load(section)["translated"].keys() == {"train", "test"}
    (row,) = blocks(page, "json")
    assert json.loads(row).keys() == {"id", "text"}
