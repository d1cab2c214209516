"""Whose what is in a repository is, and what earlier attempts have left there."""

from __future__ import annotations

import json

import pytest
import tiny_run
from hub_cases import TOKEN, asked, hub_in_use
from publishing import (
    FAILED,
    PASSED,
    attempt,
    fresh,
    holds,
    of_study,
    published,
    refused,
)

from lowres import gate
from lowres.publish import Options

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
NAME = "ada/topics"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path, TOKEN) as served:
        yield served


@pytest.fixture
def passing(monkeypatch):
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)


@pytest.fixture
def built(tmp_path, tiny_base):
    return fresh(tmp_path, tiny_base)


def test_a_repository_with_something_else_in_it(hub, built, passing):
    hub.create(NAME)
    hub.push(NAME, {"model.safetensors": b"theirs", "README.md": b"# theirs"})
    before = hub.head(NAME)
    says = refused(built)
    assert "holds something else already (README.md, model.safetensors…)" in says
    assert "--force" in says
    assert hub.head(NAME) == before
    published(built, Options(force=True))
    assert holds(hub, built)


def test_a_copy_of_an_adapter_with_work_of_others_beside_it(hub, built, passing):
    """A probe.json, even of ours, says nothing of the files beside it."""
    hub.create(NAME)
    probes = (built.folder / "probe.json").read_bytes()
    hub.push(NAME, {"probe.json": probes, "README.md": b"# precious", "model.safetensors": b"x"})
    before = hub.head(NAME)
    assert "holds something else already (README.md, model.safetensors" in refused(built)
    assert hub.head(NAME) == before
    published(built, Options(force=True))
    assert holds(hub, built)


@pytest.mark.parametrize("here", [True, False])
def test_another_run_of_the_same_study_takes_its_place(hub, tmp_path, tiny_base, passing, here):
    published(fresh(tmp_path / "first", tiny_base))
    second = fresh(tmp_path / "second", tiny_base)
    (second.folder / "labels.json").write_text("{}")
    if not here:
        of_study(second, "sentiment")
        says = refused(second)
        assert "holds another adapter already (study topics, classification, over ada/base)" in says
        assert "--force" in says
        assert not holds(hub, second)
    published(second, Options(force=not here))
    assert holds(hub, second)


def test_what_was_taken_back_leaves_whose_it_was(hub, built, monkeypatch, tmp_path, tiny_base):
    """--force over something else, taken back: that is there again, and still not ours."""
    hub.create(NAME)
    hub.push(NAME, {"README.md": b"# theirs"})
    monkeypatch.setattr(gate, "check", lambda *_: FAILED)
    assert "taken back" in refused(built, Options(force=True))
    assert tiny_run.without_git(hub.files(NAME)) == {"README.md": b"# theirs"}
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)
    assert "holds something else already (README.md" in refused(built)
    other = fresh(tmp_path / "other", tiny_base, "ada/ours")
    published(other)
    (other.folder / "labels.json").write_text("{}")
    monkeypatch.setattr(gate, "check", lambda *_: FAILED)
    assert "taken back" in refused(other)
    (other.folder.parent / "state.json").unlink()
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)
    published(other)


def test_what_was_never_proven_is_nothing_to_go_back_to(hub, built, monkeypatch):
    """The Hub goes between commit and gate; the next one, another, is refused."""
    monkeypatch.setattr(gate, "check", lambda *_: PASSED)
    published(built)
    good = hub.files(NAME)
    (built.folder / "labels.json").write_text("{}")
    hub.inject("500", "GET", "tree", after=1, times=99)
    assert "download: HTTP 500" in refused(built)
    hub.injections.clear()
    assert hub.files(NAME) != good
    (built.folder / "labels.json").write_text("[1]")
    monkeypatch.setattr(gate, "check", lambda *_: FAILED)
    assert "taken back" in refused(built)
    assert hub.files(NAME) == good


def test_an_open_pull_request_that_was_never_proven_is_closed(hub, built, passing):
    hub.inject("500", "GET", "tree", after=1, times=99)
    refused(built, Options(pr=True))
    hub.injections.clear()
    (built.folder / "labels.json").write_text("{}")
    assert published(built, Options(pr=True)).pr == 2
    assert [d.status for d in hub.repositories[NAME].discussions.values()] == ["closed", "open"]


def test_a_pull_request_closed_by_hand_is_not_published(hub, built, passing):
    assert published(built, Options(pr=True)).pr == 1
    hub.repositories[NAME].discussions[1].status = "closed"
    made = attempt(built, Options(pr=True))
    assert made.done is not None
    assert made.done.pr == 2
    assert any("pull request 1 was closed; another one" in line for line in made.said)
    hub.repositories[NAME].discussions[2].status = "merged"
    assert published(built, Options(pr=True)).pr == 2


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize(
    "later", [Options(revision="dev"), Options(pr=True), Options(revision="dev", pr=True)]
)
def test_what_was_left_unproven_elsewhere_is_taken_back(hub, built, passing, later, noted):
    """Stopped between commit and gate; then it is published to another branch."""
    if later.revision != "main":
        hub.create(NAME)
        hub.repositories[NAME].revisions["dev"] = hub.head(NAME)
    hub.inject("500", "GET", "tree", after=1, times=99)
    refused(built)
    hub.injections.clear()
    unproven = hub.head(NAME)
    assert holds(hub, built)
    if not noted:
        file = built.folder.parent / "state.json"
        states = json.loads(file.read_text(encoding="utf-8"))
        states["main"]["commit"] = None
        file.write_text(json.dumps(states), encoding="utf-8")
    (built.folder / "labels.json").write_text("{}")
    made = attempt(built, later)
    assert made.done is not None, made.error
    assert tiny_run.without_git(hub.files(NAME)) == {}
    assert f"publish: {unproven[:12]} was never proven to reload. The commit was taken back" in (
        "\n".join(made.said)
    )
    # both are known from now on
    assert published(built, later) == made.done
    published(built)
    assert holds(hub, built)


def test_a_pull_request_left_unproven_is_closed_when_main_is_published(hub, built, passing):
    hub.inject("500", "GET", "tree", after=1, times=99)
    refused(built, Options(pr=True))
    hub.injections.clear()
    published(built)
    assert hub.repositories[NAME].discussions[1].status == "closed"
    assert holds(hub, built)


def test_somebody_commits_after_it_was_published(hub, built, passing):
    """A card edited on the Hub's page is somebody's work, also in a repository of ours."""
    first = published(built)
    hub.push(NAME, {"README.md": b"# by hand"}, "Update README.md")
    says = refused(built)
    assert "was changed after lowres published it ('Update README.md')" in says
    assert hub.files(NAME)["README.md"] == b"# by hand"
    second = published(built, Options(force=True))
    assert second.commit != first.commit
    assert holds(hub, built)


def test_a_state_that_cannot_be_read_is_none(hub, built, passing):
    published(built)
    (built.folder.parent / "state.json").write_text("{")
    published(built)
    assert holds(hub, built)
    assert len(asked(hub, "/commit/")) == 1
