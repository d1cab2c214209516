"""An adapter is loaded by plain transformers and peft in a process that has no lowres."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_language
import tiny_run
from hub_cases import contents, hub_of_two_users
from hub_client import point_client_at
from safetensors.torch import load_file, save_file
from tiny_adapter import adapter_of
from tiny_study import CPU

from lowres import bases, gate, probe, repository, snapshots
from lowres.errors import ReloadError
from lowres.recipe_publish import Publish


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_unigram_base):
    """Of an extended adapter with one of a language beside it, as it would be downloaded."""
    work = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patched, hub_of_two_users() as hub:
        point_client_at(hub, patched, work / "cache")
        snapshots._answers.cache_clear()
        hub.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
        run = tiny_run.finished(
            work / "run", tiny_unigram_base, extended=True, languages=["tzm_Tfng"]
        )
        licence = Publish(license="cc-by-sa-4.0")
        built = repository.build(run, "ada/topics", "1", licence, work / "out")
    snapshots._answers.cache_clear()
    return built.folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(file, **changes):
    plain = json.loads(file.read_text(encoding="utf-8"))
    first = plain["probes"][0]
    first |= {name: edit(first[name]) for name, edit in changes.items()}
    file.write_text(json.dumps(plain), encoding="utf-8")


@pytest.mark.slow
def test_it_answers_the_same_elsewhere(folder, tiny_unigram_base, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = []
    real = subprocess.run

    def run(*words, **options):
        seen.append((words, options))
        return real(*words, **options)

    monkeypatch.setattr(subprocess, "run", run)
    found = gate.check(folder, tiny_unigram_base)
    assert found.faults == ()
    assert found.probes == 32
    assert found.widest < gate.TOLERANCE
    ((_, options),) = seen
    assert "hf_secret" not in repr(options["env"])
    assert "PYTHONPATH" not in options["env"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "changes", "says"),
    [
        (".", {"logits": lambda v: [v[0] + 2e-5, *v[1:]]}, "probe 1: a logit differs by 2e-05"),
        (".", {"input_ids": lambda v: v[:-1]}, "probe 1: the tokenizer gives other ids"),
        (".", {"logits": lambda v: v[:-1]}, "probe 1: logits (3,), expected (2,)"),
        (
            "adapters/tzm_Tfng",
            {"logits": lambda v: [float("nan"), *v[1:]]},
            "adapters/tzm_Tfng: probe 1: a logit differs by nan",
        ),
    ],
)
def test_what_differs_is_said(copy, tiny_unigram_base, place, changes, says):
    change(copy / place / "probe.json", **changes)
    assert gate.check(copy, tiny_unigram_base).faults == (says,)


@pytest.mark.slow
def test_what_does_not_load_is_said_in_one_line(copy, tiny_unigram_base):
    (copy / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ReloadError, match="plain transformers and peft cannot load it") as caught:
        gate.check(copy, tiny_unigram_base)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_large_logits_and_other_threads_are_no_difference(tiny_base, tmp_path, monkeypatch):
    """In single precision each order of sums would give other last digits, of such a head."""
    adapter = adapter_of(tmp_path / "a", tiny_base, "classification")
    weights = load_file(adapter / "adapter_model.safetensors")
    large = {name: t * 1e4 if "classifier" in name else t for name, t in weights.items()}
    save_file(large, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    located = bases.locate(str(tiny_base))
    labels = json.loads((adapter / "labels.json").read_text(encoding="utf-8"))["labels"]
    task = tiny_language.task_options("classification")
    found = probe.make(adapter, located, task, labels, CPU)
    assert max(abs(one.logits).max() for one in found) > 100
    probe.write(adapter / probe.FILE, found, {"id": "a/b"}, {})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    # by a relative path, which the process of the gate does not share
    monkeypatch.chdir(tmp_path)
    verdict = gate.check(Path("a"), Path(os.path.relpath(tiny_base)))
    assert verdict.faults == ()
    assert verdict.widest < 1e-8


SURE, TIED = [3.0, 0.0, -3.0], [0.3, 0.0, -0.3]


def asked(*logits):
    return [{"input_ids": [1], "logits": list(one)} for one in logits]


@pytest.mark.parametrize(
    ("stored", "given", "says"),
    [
        ([SURE, TIED], [[2.6, 0.2, -3.0], [0.1, 0.2, -0.3]], []),
        ([SURE], [[2.4, 0.0, -3.0]], ["probe 1: a logit differs by 0.6, at most 0.5 is allowed"]),
        (
            [SURE],
            [[float("nan"), 0, 0]],
            ["probe 1: a logit differs by nan, at most 0.5 is allowed"],
        ),
        (
            [SURE, [0.8, 0.0, -3.0]],
            [SURE, [0.35, 0.45, -3.0]],
            ["probe 2: another label, and it was no near-tie"],
        ),
        (
            [TIED, TIED, SURE],
            [[0.0, 0.1, 0.0], [0.0, 0.1, 0.0], SURE],
            ["1 of 3 labels are the same, expected half of them or more"],
        ),
        ([[TIED, SURE]], [[[0.1, 0.2, 0.0], SURE]], []),
    ],
)
def test_over_the_base_that_ours_was_a_copy_of(stored, given, says):
    found, faults = gate.over_hub(asked(*stored), asked(*given), 0.5)
    assert faults == says
    assert found.tolerance == 0.5


def test_what_is_told_of_labels_over_the_other_base():
    stored, given = asked(SURE, TIED, TIED), asked(SURE, TIED, [0.0, 0.1, -0.3])
    found, _ = gate.over_hub(stored, given, 0.5)
    assert found == gate.Elsewhere(pytest.approx(0.3), 0.5, 3, 2, 2)
    # also of probes whose logits are too far apart
    found, _ = gate.over_hub(asked(SURE, SURE), asked([9.0, 0.0, 0.0], [0.0, 9.0, 0.0]), 0.5)
    assert (found.answers, found.agreeing) == (2, 1)


def test_the_tolerance_is_a_share_of_how_far_logits_lie_apart():
    logits = [np.array([2.0, 0.0, -2.0]), np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])]
    assert gate.spread(logits) == pytest.approx((10 / 9) ** 0.5)
    assert gate.spread([one + 7 for one in logits]) == pytest.approx(gate.spread(logits))
    assert gate.rebuilt_tolerance(logits) == pytest.approx(1.5 * (10 / 9) ** 0.5, rel=1e-2)
    tenfold = gate.rebuilt_tolerance([10 * one for one in logits])
    assert tenfold == pytest.approx(10 * gate.rebuilt_tolerance(logits), rel=1e-2)


def test_what_takes_too_long_is_not_proven(copy, tiny_unigram_base, monkeypatch):
    monkeypatch.setattr(gate, "LONGEST_S", 0.05)
    with pytest.raises(ReloadError, match=r"did not load within 0\.05 s"):
        gate.check(copy, tiny_unigram_base)


def test_lowres_cannot_be_imported_there():
    code = f"exec(open({str(gate.SCRIPT)!r}).read().partition('def loaded')[0]); import lowres.card"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert "ImportError: lowres is not there in this process" in done.stderr
