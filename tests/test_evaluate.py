from __future__ import annotations

from dataclasses import replace

import tiny_study
from datasets import Dataset

from lowres import evaluate


def test_languages_of_one_adapter_go_in_one_pass_up_to_a_size(tmp_path, monkeypatch):
    """A language with an adapter of its own is answered by that one, and a kill loses one pass."""
    own = tmp_path / "adapters" / "hau_Latn"
    own.mkdir(parents=True)
    (own / "adapter_config.json").write_text("{}")
    adapter = tmp_path / "adapter"
    codes = ("amh_Ethi", "fra_Latn", "hau_Latn", "swh_Latn", "wol_Latn")
    test = Dataset.from_list(tiny_study.examples("classification", 10, 1))
    data = replace(tiny_study.data(), tests=dict.fromkeys(codes, test))
    monkeypatch.setattr(evaluate, "A_PASS", 15)
    passes = list(evaluate._passes(adapter, codes, data))
    assert passes == [
        (adapter, ["amh_Ethi", "fra_Latn"]),
        (adapter, ["swh_Latn", "wol_Latn"]),
        (own, ["hau_Latn"]),
    ]
    monkeypatch.setattr(evaluate, "A_PASS", 4096)
    assert [len(languages) for _, languages in evaluate._passes(adapter, codes, data)] == [4, 1]
    assert list(evaluate._passes(adapter, (), data)) == []
