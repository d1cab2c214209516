"""A sweep over the demonstration data and a tiny base, for the tests of sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, Any] = {
    "base.quantization": "none",
    "languages.targets": ["swh_Latn", "amh_Ethi"],
    "evaluate.bootstrap": 100,
    "evaluate.baselines": ["majority", "tfidf"],
}
RANKS = {"grid": {"lora.rank": [2, 4]}}


def written(folder: Path, base: Path, **keys: Any) -> Path:
    """`sweep.yaml` of quickstart over `base`; `keys` are laid over, None takes one away."""
    plain = {
        "name": "tiny",
        "recipe": "quickstart",
        "set": {"base.name": str(base), **SMALL},
        **RANKS,
        "workers": 0,
        **keys,
    }
    file = folder / "sweep.yaml"
    kept = {key: value for key, value in plain.items() if value is not None}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    return file
