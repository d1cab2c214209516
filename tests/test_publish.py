"""`lowres publish`: what is sent where, proven by the gate, and taken back."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
from hub_cases import READER, STRANGER, TOKEN, asked, contents, hub_in_use
from hub_writes import is_branch
from publishing import (
    FAILED,
    PASSED,
    attempt,
    fresh,
    holds,
    published,
    refused,
    states,
)
from typer.testing import CliRunner

from lowres import gate, predict, publish
from lowres.cli import app
from lowres.errors import HubError
from lowres.publish import Options
from lowres.recipe_publish import Publish

# The client itself uploads with what httpx2 says is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
NAME = "ada/topics"
TEXTS = ["The teacher opened the window.", "Soko liko wapi?", "wä nhial mal"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path, TOKEN) as served:
        yield served


@pytest.fixture
def passing(monkeypatch):
    """What is not about the gate need not wait for it."""
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)


@pytest.fixture
def built(tmp_path, tiny_base):
    return fresh(tmp_path, tiny_base)


def run(*words, **options):
    return CliRunner().invoke(app, ["publish", *map(str, words)], **options)


def test_one_commit_once(hub, built, passing):
    done = published(built)
    assert (done.repo_id, done.seed, done.commit) == (NAME, 1, hub.head(NAME))
    assert (done.pr, done.widest, done.tolerance) == (None, 1e-7, 1e-5)
    assert holds(hub, built)
    assert published(built) == done
    assert len(asked(hub, "/commit/")) == 1
    assert states(hub, NAME) == [set(), set(contents(built.folder))]


def test_another_seed_takes_the_place_of_the_first(hub, built, passing):
    published(built)
    (built.folder / "more.json").write_text("{}")
    (built.folder / "labels.json").unlink()
    published(built)
    assert holds(hub, built)
    assert len(asked(hub, "/commit/")) == 2


def test_a_private_repository(hub, built, passing):
    published(built, Options(private=True))
    assert hub.repositories[NAME].private
    assert holds(hub, built)
    hub.repositories[NAME].private = False
    # also with nothing left to send
    assert "is there already and is public; make it private" in refused(
        built, Options(private=True)
    )
    (built.folder / "labels.json").write_text("{}")
    assert "is there already and is public" in refused(built, Options(private=True))
    assert not holds(hub, built)
    published(built)
    assert holds(hub, built)


def test_a_branch_beside_main(hub, built, passing):
    done = published(built, Options(revision="v1"))
    assert done.commit == hub.head(NAME, "v1")
    assert holds(hub, built, "v1")
    assert tiny_run.without_git(hub.files(NAME)) == {}
    published(built)
    assert holds(hub, built)


def test_a_pull_request(hub, built, passing):
    done = published(built, Options(pr=True))
    assert done.pr == 1
    assert holds(hub, built, "refs/pr/1")
    assert tiny_run.without_git(hub.files(NAME)) == {}
    assert hub.repositories[NAME].discussions[1].status == "open"
    assert published(built, Options(pr=True)) == done
    assert list(hub.repositories[NAME].discussions) == [1]


def test_a_pull_request_to_somebody_else(hub, built, passing, monkeypatch):
    published(built)
    before = hub.head(NAME)
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    (built.folder / "labels.json").write_text("{}")
    assert "this token may not write" in refused(built)
    assert published(built, Options(pr=True)).pr == 1
    assert hub.head(NAME) == before


@pytest.mark.parametrize("earlier", [False, True])
def test_what_answers_otherwise_is_taken_back(hub, built, monkeypatch, earlier):
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)
    if earlier:
        published(built)
    else:
        hub.create(NAME)
    before = hub.files(NAME)
    (built.folder / "labels.json").write_text("{}")
    (built.folder / "extra.json").write_text("{}")
    (built.folder / "adapter_model.safetensors").write_bytes(b"other" * 50)
    monkeypatch.setattr(gate, "check", lambda *_: FAILED)
    says = refused(built)
    assert "not published: probe 3: a logit differs by 0.4. The commit was taken back" in says
    assert hub.files(NAME) == before
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)
    published(built)
    assert holds(hub, built)


def test_a_pull_request_that_answers_otherwise_is_closed(hub, built, monkeypatch):
    many = dataclasses.replace(FAILED, faults=tuple(f"probe {n}: x" for n in range(9)))
    monkeypatch.setattr(gate, "check", lambda *_: many)
    says = refused(built, Options(pr=True))
    assert "probe 0: x; probe 1: x; probe 2: x; …. Pull request 1 is closed" in says
    pull_request = hub.repositories[NAME].discussions[1]
    assert pull_request.status == "closed"
    assert "it does not reload as it was" in repr(pull_request.events)
    assert tiny_run.without_git(hub.files(NAME)) == {}


@pytest.mark.parametrize("name", ["topics", "ada/", "a/b/c", "ada/x--y", "ada/x y", "-a/b", ""])
def test_an_id_that_is_none(tmp_path, name):
    with pytest.raises(HubError, match="is no repository id") as caught:
        publish.prepare(tmp_path, name, Options(), Publish())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "..", "a..b", "../x", "refs/pr/1", "refs/heads/v1", "/v1", "v1/", "v1."),
        *("-v1", ".v1", "a/.b", "a.lock", "a.lock/b", "a//b", "@", "a@{1}", "a~1", "a^", "a:b"),
        *("a?", "a*", "a[b", "a\\b", "a\tb", "a\n", "HEAD", "0" * 40),
    ],
)
def test_a_branch_that_can_be_none(hub, tmp_path, name):
    """Found out before anything is made."""
    with pytest.raises(HubError, match="no name of a branch; write it as main") as caught:
        publish.prepare(tmp_path, NAME, Options(revision=name), Publish())
    assert "\n" not in str(caught.value)
    assert hub.requests == []
    # but for these two, git and the Hub of the tests refuse it too
    assert not is_branch(name) or name in ("HEAD", "0" * 40)


@pytest.mark.parametrize("name", ["main", "v1", "v1.0-rc", "feature/new_card", "ekó", "0" * 39])
def test_a_branch_that_may_be(name):
    publish.check_branch(name)
    assert is_branch(name)


def test_a_licence_that_the_hub_does_not_know(hub, built, passing):
    readme = "---\nlicense: foo-bar\n---\n# x\n"
    (built.folder / "README.md").write_text(readme, encoding="utf-8")
    assert "the Hub refuses the card" in refused(built)
    assert NAME not in hub.repositories


@pytest.fixture
def finished(hub, tmp_path, tiny_unigram_base):
    """A run whose base the Hub has."""
    hub.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
    return tiny_run.finished(tmp_path / "runs" / "topics", tiny_unigram_base)


def test_a_dry_run_asks_nothing_of_the_hub(hub, finished, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    done = run(finished, NAME, "--license", "mit", "--dry-run")
    assert done.exit_code == 0, done.output
    folder = Path(done.stdout.partition(":")[0])
    assert done.stdout == f"{folder}: checked, nothing sent\n"
    assert (folder / "README.md").is_file()
    assert [r for r in hub.requests if NAME in r or r.startswith(("POST", "PUT"))] == []


def test_the_command(hub, finished, passing):
    done = run(finished, NAME, "--license", "mit", "--seed", "1")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["commit"] == hub.head(NAME)
    assert "sending 8 files in one commit" in done.stderr


@pytest.mark.parametrize(
    ("words", "token", "says"),
    [
        ([], None, "publish: no token of the Hub here; run `hf auth login`"),
        ([], READER, "publish: this token may read only"),
        (["--license", "CC BY"], TOKEN, "publish.license: 'CC BY' is no licence identifier"),
        (["--seed", "9"], TOKEN, "--seed 9: the run has the seeds 1, 2, 3"),
        (["--revision", ""], TOKEN, "--revision '': no name of a branch"),
        ([], "hf_é", "publish: the token (HF_TOKEN, or of `hf auth login`) has letters"),
    ],
)
def test_errors_are_one_line(hub, finished, monkeypatch, words, token, says):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    done = run(finished, NAME, "--license", "mit", *words)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(says)
    assert NAME not in hub.repositories


def test_offline(hub, finished, monkeypatch):
    from huggingface_hub import constants

    run(finished, NAME, "--license", "mit", "--dry-run")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = run(finished, NAME, "--license", "mit")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("publish: HF_HUB_OFFLINE is set")


def test_what_the_recipe_says_of_publishing(hub, finished):
    assert "publish.license is missing" in run(finished, NAME, "--dry-run").stderr
    (finished / "publish.yaml").write_text("license: mit\nauthors: [Ada]\n", encoding="utf-8")
    done = run(finished, NAME, "--dry-run")
    assert done.exit_code == 0, done.output
    card = (finished / "publish/ada--topics/repository/README.md").read_text(encoding="utf-8")
    assert "author = {Ada}" in card


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "- a",
            "expected the recipe's section publish as YAML, such as license: cc-by-4.0, and it",
        ),
        ("mit", "and it is a str"),
        ("a: [", "and it cannot be read"),
        ("1: 2", "publish.1: "),
    ],
)
def test_a_section_that_is_none(hub, finished, text, says):
    (finished / "publish.yaml").write_text(text, encoding="utf-8")
    done = run(finished, NAME, "--license", "mit", "--dry-run")
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_section(hub, finished):
    (finished / "publish.yaml").write_text("", encoding="utf-8")
    assert run(finished, NAME, "--license", "mit", "--dry-run").exit_code == 0


@pytest.mark.parametrize("whose", ["the run", "something as ada/topics"])
def test_two_at_once(hub, tmp_path, monkeypatch, whose):
    """The second says so in one line; the lock goes with its holder."""
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    held = (mine, "ada/x") if whose == "the run" else (other, NAME)
    with publish.held(*held):
        done = run(mine, NAME, "--license", "mit")
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"publish: another process publishes {whose}")
        assert "give the same command again" in line
    with publish.held(mine, NAME):
        pass


def test_no_lock_is_left_where_there_is_no_run(hub, tmp_path):
    assert "no finished run" in run(tmp_path / "none", NAME, "--license", "mit").stderr
    assert not (tmp_path / "none").exists()


def as_the_card_says(files: dict[str, bytes], task: str) -> None:
    """Its lines of plain transformers and peft give what `probe.json` says."""
    (code,) = re.findall(r"```python\n(.*?)```", files["README.md"].decode(), re.DOTALL)
    first = json.loads(files["probe.json"])["probes"][0]
    if "text" in first:
        code = code.replace('"A text"', repr(first["text"]))
        code = code.replace('"another text"', repr(first.get("text_pair")))
    known: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), known)
    got = known["logits"][0].numpy()
    assert got.shape[-1] == 3
    if "text" in first:
        assert got == pytest.approx(np.array(first["logits"]), abs=1e-5)


# between peft and transformers; lowres itself keeps it quiet, the card's plain peft can't
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "extended", "languages"),
    [
        ("classification", True, ["tzm_Tfng"]),
        ("tagging", False, []),
        ("tagging", True, []),
        ("pairs", False, []),
    ],
)
def test_published_and_loaded_again(
    hub, tmp_path, tiny_unigram_base, monkeypatch, task, extended, languages
):
    hub.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
    folder = tiny_run.finished(
        tmp_path / "runs" / "topics",
        tiny_unigram_base,
        task,
        extended=extended,
        languages=languages,
    )
    done = run(folder, NAME, "--license", "cc-by-sa-4.0", "--seed", "1")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["widest"] <= said["tolerance"] == 1e-5
    texts = [f"{text}\t{text}" for text in TEXTS] if task == "pairs" else TEXTS
    for language in (None, *languages):
        own = folder / "train/1" / (f"adapters/{language}" if language else "adapter")
        here = list(predict.load(own).predict(texts))
        there = list(predict.load(NAME, language=language).predict(texts))
        assert [a.answer for a in here] == [a.answer for a in there]
        for one, other in zip(here, there, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-5)
    as_the_card_says(hub.files(NAME), task)
    files = set(hub.files(NAME))
    assert ("tokenizer.json" in files) == ("extension.json" in files) == extended
    assert {f.split("/")[1] for f in files if f.startswith("adapters/")} == set(languages)
    assert not [name for name in files if name.endswith((".bin", ".pt", "manifest.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("pr", [False, True])
def test_the_gate_itself_finds_other_weights(hub, finished, pr):
    """Weights of another seed, whose bytes arrive as they were sent."""
    words = [finished, NAME, "--license", "mit", "--seed", "1"]
    assert run(*words).exit_code == 0
    before = hub.files(NAME)
    options = Options("2", pr=pr)
    built = publish.prepare(finished, NAME, options, Publish(license="mit"))
    weights = "adapter_model.safetensors"
    (built.folder / weights).write_bytes(before[weights])
    made = attempt(built, options)
    assert made.error is not None
    assert "not published: probe 1: a logit differs by" in str(made.error)
    assert hub.files(NAME) == before
    if pr:
        assert hub.repositories[NAME].discussions[1].status == "closed"
        assert hub.files(NAME, "refs/pr/1")[weights] == before[weights]
