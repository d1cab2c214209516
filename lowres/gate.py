"""Whether an adapter folder still gives the answers of its `probe.json` where lowres is unknown.

A process of its own loads it with plain transformers and peft (`templates/reload.py`), without a
network and without a token. Over the very base that the probes were taken over logits are equal to
1e-5. Where that base was rebuilt from 4 bits the adapter is loaded over the Hub's own too, as
others will load it: within a tolerance that its `probe.json` states, and with the same labels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lowres import probe
from lowres.errors import ReloadError
from lowres.registry import PACKAGE_DIR
from lowres.stacking import ADAPTERS

SCRIPT: Final = PACKAGE_DIR / "templates" / "reload.py"
TOLERANCE: Final = 1e-5
"""Largest difference of a logit over the very base that the probes were taken over, in double
precision on both sides."""
REBUILT_SHARE: Final = 1.5
"""Largest difference of a logit over the Hub's own base where the adapter was trained over a copy
rebuilt from 4 bits, as a share of the adapter's `spread`: noise of the rounding's size moved
them by more in 4 of 120 draws, four times that noise in all (benchmarks/rebuilt_tolerance.py)."""
LEAST_AGREEING: Final = 0.5
"""Share of the labels that must be the same over the Hub's own base, near-ties among them."""
LONGEST_S: Final = 600
_PASSED: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR"),
    # for the speed: what is compared does not hang on them
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS"),
)


@dataclass(frozen=True)
class Elsewhere:
    """Over the Hub's own base, where the probes were taken over a rebuilt copy of it.

    `tolerance`: the largest one of the adapters, each has its own. `answers`: labels that were
    compared, one a text, or one a token; `near_ties`: of those, where the two best labels were
    nearer to each other than the tolerance; `agreeing`: the same label.
    """

    widest: float
    tolerance: float
    answers: int
    near_ties: int
    agreeing: int


@dataclass(frozen=True)
class Verdict:
    """What the gate found: `faults` in words, empty where all is the same."""

    faults: tuple[str, ...]
    widest: float
    """Largest difference of a logit over the base of the probes."""
    tolerance: float
    probes: int
    elsewhere: Elsewhere | None = None


def spread(logits: Sequence[np.ndarray]) -> float:
    """How far an adapter's logits lie apart: root mean square of what each differs from the mean
    over labels. Adding a number to all labels of a text changes no answer, nor this.

    Args:
        logits: [labels] or [tokens, labels] of each probe.
    """
    apart = [np.ravel(one - one.mean(axis=-1, keepdims=True)) for one in logits]
    return float(np.sqrt(np.mean(np.concatenate(apart) ** 2)))


def rebuilt_tolerance(logits: Sequence[np.ndarray]) -> float:
    """What a logit of this adapter may differ by over the base that its own was a 4-bit copy of.

    A share and no fixed number: a head with weights four times as large is not worse reloaded.
    """
    return float(f"{REBUILT_SHARE * spread(logits):.3g}")


def check(folder: Path, base: Path, probed: Path | None = None) -> Verdict:
    """Reload an adapter folder, with those under `adapters/`, and compare with `probe.json`.

    Args:
        folder: the adapter, as it was downloaded.
        base: folder of the base that others load it over.
        probed: folder of the base that the probes were taken over, where that is another one.

    Raises:
        ReloadError: when the folder cannot be loaded at all.
    """
    folder = folder.resolve()
    folders = [folder, *sorted(file.parent for file in folder.glob(f"{ADAPTERS}/*/{probe.FILE}"))]
    bases = [base.resolve()] if probed is None else [probed.resolve(), base.resolve()]
    answers = _answers(folders, bases)
    faults: list[str] = []
    widest, probes, others = 0.0, 0, []
    for at, one in enumerate(folders):
        where = "" if one == folder else f"{one.relative_to(folder).as_posix()}: "
        plain = json.loads((one / probe.FILE).read_text(encoding="utf-8"))
        stored = plain["probes"]
        probes += len(stored)
        for number, (wanted, answer) in enumerate(zip(stored, answers[0][at], strict=True), 1):
            fault, difference = _compared(wanted, answer, TOLERANCE)
            widest = max(widest, difference)
            if fault:
                faults.append(f"{where}probe {number}: {fault}")
        if probed is not None:
            told = f"{where}over {plain['base']['id']} itself: "
            found, said = over_hub(stored, answers[1][at], plain["base"]["tolerance"])
            others.append(found)
            faults += [told + fault for fault in said]
    return Verdict(tuple(faults), widest, TOLERANCE, probes, _together(others))


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
        most = f", at most {tolerance:g} is allowed" if tolerance != TOLERANCE else ""
        said = f"a logit differs by {difference:.2g}{most}"
        return said, float(np.nan_to_num(difference, nan=np.inf))
    return "", difference


def over_hub(
    stored: list[dict[str, Any]], answers: list[dict[str, Any]], tolerance: float
) -> tuple[Elsewhere, list[str]]:
    """Whether an adapter does over the Hub's base what it did over a copy of it, and what not.

    Logits within the tolerance; the same label wherever the two best ones were not nearer to each
    other than that; half of all labels the same, near-ties among them.
    """
    faults: list[str] = []
    widest, count, near, same = 0.0, 0, 0, 0
    for number, (wanted, answer) in enumerate(zip(stored, answers, strict=True), 1):
        fault, difference = _compared(wanted, answer, tolerance)
        widest = max(widest, difference)
        if fault:
            faults.append(f"probe {number}: {fault}")
        expected = np.atleast_2d(np.asarray(wanted["logits"]))
        got = np.atleast_2d(np.asarray(answer["logits"]))
        if expected.shape != got.shape:
            continue
        ordered = np.sort(expected, axis=-1)
        tied = ordered[:, -1] - ordered[:, -2] < tolerance
        agree = expected.argmax(axis=-1) == got.argmax(axis=-1)
        count, near, same = count + len(tied), near + int(tied.sum()), same + int(agree.sum())
        if not fault and (~agree & ~tied).any():
            faults.append(f"probe {number}: another label, and it was no near-tie")
    if not faults and same < LEAST_AGREEING * count:
        faults.append(f"{same} of {count} labels are the same, expected half of them or more")
    return Elsewhere(widest, tolerance, count, near, same), faults


def _together(found: Sequence[Elsewhere]) -> Elsewhere | None:
    if not found:
        return None
    return Elsewhere(
        max(one.widest for one in found),
        max(one.tolerance for one in found),
        sum(one.answers for one in found),
        sum(one.near_ties for one in found),
        sum(one.agreeing for one in found),
    )


def _answers(folders: list[Path], bases: list[Path]) -> list[list[list[dict[str, Any]]]]:
    """[base][adapter][probe]: ids and logits, from a process without lowres."""
    with tempfile.TemporaryDirectory(prefix="lowres-gate-") as work:
        out, job = Path(work) / "answers.json", Path(work) / "job.json"
        wanted = {"bases": list(map(str, bases)), "adapters": list(map(str, folders))}
        job.write_text(json.dumps(wanted), encoding="utf-8")
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        # no token, no network: what was downloaded must be enough
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": work,
            "TOKENIZERS_PARALLELISM": "false",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(SCRIPT), str(out), str(job)],
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
        answers: list[list[list[dict[str, Any]]]] = plain["answers"]
        return answers
