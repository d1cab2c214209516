"""An adapter is loaded by plain transformers and peft in a process that has no lowres."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import tiny_run
from hub_cases import contents, hub_of_two_users
from hub_client import point_client_at

from lowres import gate, repository, snapshots
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


def test_what_takes_too_long_is_not_proven(copy, tiny_unigram_base, monkeypatch):
    monkeypatch.setattr(gate, "LONGEST_S", 0.05)
    with pytest.raises(ReloadError, match=r"did not load within 0\.05 s"):
        gate.check(copy, tiny_unigram_base)


def test_lowres_cannot_be_imported_there():
    code = (
        f"exec(open({str(gate.SCRIPT)!r}).read().partition('def answers')[0]); import lowres.card"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert "ImportError: lowres is not there in this process" in done.stderr
