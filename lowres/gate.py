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
from lowres.errors import ReloadError
from lowres.registry import PACKAGE_DIR

SCRIPT: Final = PACKAGE_DIR / "templates" / "reload.py"
TOLERANCE: Final = 1e-5
"""Largest difference of a logit over the very base that the probes were taken over, as here."""
REBUILT_TOLERANCE: Final = 0.5
"""What is told to others where the probes were taken over a base that was rebuilt from 4 bits."""
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
    """Reload an adapter folder, with those under `adapters/`, and compare with `probe.json`.

    Args:
        folder: the adapter, as it was downloaded.
        base: folder of the base.
        tolerance: of a logit.

    Raises:
        ReloadError: when the folder cannot be loaded at all.
    """
    folders = [folder, *sorted(file.parent for file in folder.glob(f"adapters/*/{probe.FILE}"))]
    faults: list[str] = []
    widest, probes = 0.0, 0
    for one, answers in zip(folders, _answers(folders, base), strict=True):
        where = "" if one == folder else f"{one.relative_to(folder).as_posix()}: "
        stored = json.loads((one / probe.FILE).read_text(encoding="utf-8"))["probes"]
        probes += len(stored)
        for number, (wanted, answer) in enumerate(zip(stored, answers, strict=True), start=1):
            fault, difference = _compared(wanted, answer, tolerance)
            widest = max(widest, difference)
            if fault:
                faults.append(f"{where}probe {number}: {fault}")
    return Verdict(tuple(faults), widest, tolerance, probes)


def _compared(
    wanted: dict[str, Any], answer: dict[str, Any], tolerance: float
) -> tuple[str, float]:
    """What differs, in words, or nothing; and the largest difference of a logit."""
    if wanted["input_ids"] != answer["input_ids"]:
        return "the tokenizer gives other ids", 0.0
    expected, got = np.asarray(wanted["logits"]), np.asarray(answer["logits"])
    if expected.shape != got.shape:
        return f"logits {got.shape}, expected {expected.shape}", 0.0
    difference = float(np.abs(expected - got).max())
    if not difference <= tolerance:
        # also for what is no number
        return f"a logit differs by {difference:.2g}", float(np.nan_to_num(difference, nan=np.inf))
    return "", difference


def _answers(folders: list[Path], base: Path) -> list[list[dict[str, Any]]]:
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
        command = [sys.executable, "-I", str(SCRIPT), str(base), str(out), *map(str, folders)]
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
            raise ReloadError(f"did not load within {LONGEST_S} s") from None
        if done.returncode != 0 or not out.is_file():
            last = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            raise ReloadError(f"plain transformers and peft cannot load it: {last[-1]}")
        plain = json.loads(out.read_text(encoding="utf-8"))
        assert plain["lowres"] is False, "the process had lowres in it"
        answers: list[list[dict[str, Any]]] = plain["answers"]
        return answers
