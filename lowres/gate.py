"""Whether an adapter folder still gives the answers of its `probe.json` where lowres is unknown.

A process of its own loads it with plain transformers and peft (`templates/reload.py`), without a
network and without a token.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lowres import probe
from lowres.errors import HubError
from lowres.registry import PACKAGE_DIR

SCRIPT: Final = PACKAGE_DIR / "templates" / "reload.py"
TOLERANCE: Final = 1e-5
"""Largest difference of a logit over the very base that the probes were taken over."""
REBUILT_TOLERANCE: Final = 0.5
"""The same where one of both bases was rebuilt from 4 bits: then the labels must agree."""
LONGEST_S: Final = 600
_PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")


@dataclass(frozen=True)
class Verdict:
    """What the gate found: `faults` in words, empty where all is the same."""

    faults: tuple[str, ...]
    widest: float
    """Largest difference of a logit."""
    tolerance: float
    probes: int


def check(folder: Path, base: Path, tolerance: float = TOLERANCE) -> Verdict:
    """Reload an adapter folder and compare its answers with `probe.json`.

    Args:
        folder: the adapter, as it was downloaded.
        base: folder of the base.
        tolerance: of a logit.

    Raises:
        HubError: when the folder cannot be loaded at all.
    """
    stored = json.loads((folder / probe.FILE).read_text(encoding="utf-8"))["probes"]
    answers = _answers(folder, base)
    faults: list[str] = []
    widest = 0.0
    for number, (one, answer) in enumerate(zip(stored, answers, strict=True), start=1):
        if one["input_ids"] != answer["input_ids"]:
            faults.append(f"probe {number}: the tokenizer gives other ids")
            continue
        expected, got = np.asarray(one["logits"]), np.asarray(answer["logits"])
        if expected.shape != got.shape:
            faults.append(f"probe {number}: logits {got.shape}, expected {expected.shape}")
            continue
        difference = float(np.abs(expected - got).max())
        widest = max(widest, difference if np.isfinite(difference) else float("inf"))
        if not difference <= tolerance:
            faults.append(f"probe {number}: a logit differs by {difference:.2g}")
        elif not np.array_equal(expected.argmax(-1), got.argmax(-1)):
            faults.append(f"probe {number}: another label")
    return Verdict(tuple(faults), widest, tolerance, len(stored))


def _answers(folder: Path, base: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="lowres-gate-") as work:
        out = Path(work) / "answers.json"
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        # no token, no network: what was downloaded must be enough
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": work,
            "TOKENIZERS_PARALLELISM": "false",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        command = [sys.executable, "-I", str(SCRIPT), str(folder), str(base), str(out)]
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=work,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HubError(f"{folder}: did not load within {LONGEST_S} s") from None
        if done.returncode != 0 or not out.is_file():
            last = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            raise HubError(f"{folder}: plain transformers and peft cannot load it: {last[-1]}")
        plain = json.loads(out.read_text(encoding="utf-8"))
        assert plain["lowres"] is False, "the process had lowres in it"
        answers: list[dict[str, Any]] = plain["answers"]
        return answers
