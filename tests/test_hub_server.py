"""The Hub of the tests under the real client: it publishes, reads back, meets faults."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hub_cases import (
    EXPIRED,
    NAME,
    READER,
    STRANGER,
    TOKEN,
    WEIGHTS,
    added,
    asked,
    commit,
    contents,
    fetched,
    hub_of_two_users,
    write_adapter,
)
from hub_client import point_client_at
from hub_server import Hub
from huggingface_hub import (
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# The client itself uploads with what httpx2 says is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_of_two_users() as served:
        yield served


@pytest.fixture(autouse=True)
def waits(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """The seconds the client, which talks to that Hub, wanted to wait."""
    return point_client_at(hub, monkeypatch, tmp_path / "cache")


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=TOKEN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter"))


def test_whoami(hub, api):
    assert api.whoami()["name"] == "ada"
    assert [o["name"] for o in api.whoami()["orgs"]] == ["lab"]
    assert api.whoami(token=READER)["auth"]["accessToken"]["role"] == "read"
    for token in (EXPIRED, "hf_of_nobody"):
        with pytest.raises(HfHubHTTPError, match="Invalid user token"):
            api.whoami(token=token)
    assert hub.faults == []


def test_repositories_are_created_once_and_deleted(hub, api):
    assert api.create_repo(NAME) == f"{hub.endpoint}/{NAME}"
    assert api.create_repo("mine").repo_id == "ada/mine"
    assert api.create_repo("lab/shared").repo_id == "lab/shared"
    with pytest.raises(HfHubHTTPError, match="already created") as caught:
        api.create_repo(NAME)
    assert caught.value.response.status_code == 409
    assert api.create_repo(NAME, exist_ok=True).repo_id == NAME
    for name, token in (("bob/his", TOKEN), ("ada/other", READER)):
        with pytest.raises(HfHubHTTPError, match="403"):
            api.create_repo(name, token=token)
    # who may not write learns whether it exists all the same
    assert api.create_repo(NAME, exist_ok=True, token=READER).repo_id == NAME
    api.delete_repo(NAME)
    assert not api.repo_exists(NAME)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(NAME)
    api.delete_repo(NAME, missing_ok=True)
    assert hub.faults == []
    with pytest.raises(HfHubHTTPError, match="401"):
        api.create_repo(NAME, token=False)
    assert hub.faults == ["POST api/repos/create: Invalid username or password."]


def test_the_environment_points_a_client_at_it(hub, folder, tmp_path):
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(tmp_path / "empty"),
    }
    program = """
import sys
from huggingface_hub import create_repo, snapshot_download, upload_folder
create_repo(sys.argv[1], private=True)
upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])
print(snapshot_download(sys.argv[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, NAME, str(folder)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    got = contents(done.stdout.splitlines()[-1])
    assert {path: got[path] for path in contents(folder)} == contents(folder)
    assert hub.repositories[NAME].private
    assert hub.faults == []


@pytest.mark.parametrize("multipart", [False, True])
def test_what_is_uploaded_comes_back(hub, api, folder, tmp_path, multipart):
    if multipart:
        hub.multipart_from, hub.part_bytes = 10_000_000, 4_000_000
    api.create_repo(NAME)
    done = api.upload_folder(repo_id=NAME, folder_path=folder)
    assert done.oid == hub.head(NAME)
    assert len(asked(hub, "PUT")) == (3 if multipart else 1)
    assert fetched(hub, tmp_path / "one") == contents(folder)
    assert hub.files(NAME)[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    # what is there is not uploaded again, and nothing changed makes no commit
    assert api.upload_folder(repo_id=NAME, folder_path=folder).oid == done.oid
    assert len(asked(hub, f"POST api/models/{NAME}/commit")) == 1
    info = api.model_info(NAME, files_metadata=True)
    large = {s.rfilename: s.lfs for s in info.siblings if s.lfs}
    assert large[WEIGHTS].sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert list(large) == [WEIGHTS]
    assert hub.faults == []


def test_several_large_files_and_large_text(hub, api, tmp_path):
    api.create_repo(NAME)
    files = {f"{n}.safetensors": bytes([n]) * 1000 for n in range(3)}
    files["corpus.txt"] = b"a line\n" * 1_500_000
    files["empty.bin"] = b""
    commit(api, [added(path, content) for path, content in files.items()])
    assert sorted(hub.repositories[NAME].pointers[hub.head(NAME)]) == sorted(
        set(files) - {"empty.bin"}
    )
    assert fetched(hub, tmp_path) == files
    assert hub.faults == []


def test_private_repositories_are_hidden(hub, api, tmp_path):
    api.create_repo(NAME, private=True)
    commit(api, [added("a.txt", "a")])
    assert fetched(hub, tmp_path / "mine", token=READER) == {"a.txt": b"a"}
    for number, token in enumerate((False, STRANGER)):
        with pytest.raises(RepositoryNotFoundError):
            fetched(hub, tmp_path / str(number), token=token)
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(NAME, "a.txt", endpoint=hub.endpoint, token=token)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        fetched(hub, tmp_path / "expired", token=EXPIRED)
    api.update_repo_settings(NAME, private=False)
    assert fetched(hub, tmp_path / "anyone", token=False) == {"a.txt": b"a"}
    assert hub.faults == []


def test_only_writers_of_the_namespace_write(hub, api):
    api.create_repo(NAME)
    for token in (READER, STRANGER):
        with pytest.raises(HfHubHTTPError, match="403"):
            commit(api, [added("a.txt", "a")], token=token)
    assert hub.faults == []
    # on https, too, the client takes this 401 for a repository that is not there
    with pytest.raises(RepositoryNotFoundError):
        commit(api, [added("a.txt", "a")], token=False)
    assert hub.faults == [f"POST api/models/{NAME}/preupload/main: Invalid username or password."]
    assert ".gitattributes" in hub.files(NAME)
    assert "a.txt" not in hub.files(NAME)


def test_pull_request(hub, api, tmp_path):
    api.create_repo(NAME)
    start = hub.head(NAME)
    weights = b"w" * 1000
    proposed = [added("a.txt", "a"), added("w.safetensors", weights)]
    done = commit(api, proposed, create_pr=True, token=STRANGER)
    assert (done.pr_num, done.pr_revision) == (1, "refs/pr/1")
    assert hub.head(NAME) == start
    assert hub.head(NAME, "refs/pr/1") == done.oid
    wanted = {"a.txt": b"a", "w.safetensors": weights}
    assert fetched(hub, tmp_path / "pr", "refs/pr/1") == wanted
    assert fetched(hub, tmp_path / "main") == {}
    commit(api, [added("b.txt", "b")], revision="refs/pr/1")
    assert [
        ref.name for ref in api.list_repo_refs(NAME, include_pull_requests=True).pull_requests
    ] == ["1"]

    assert api.get_discussion_details(NAME, 1).status == "open"
    event = api.change_discussion_status(NAME, 1, "closed", comment="checked, and not good")
    assert event.new_status == "closed"
    closed = api.get_discussion_details(NAME, 1)
    assert (closed.status, closed.is_pull_request, closed.author) == ("closed", True, "bob")
    with pytest.raises(HfHubHTTPError, match="not open"):
        commit(api, [added("c.txt", "c")], revision="refs/pr/1")
    api.change_discussion_status(NAME, 1, "open")
    api.merge_pull_request(NAME, 1)
    assert fetched(hub, tmp_path / "merged") == wanted | {"b.txt": b"b"}
    assert api.get_discussion_details(NAME, 1).status == "merged"
    assert hub.faults == []


def test_discussion(hub, api):
    api.create_repo(NAME)
    opened = api.create_discussion(NAME, "Which split?", description="Is it dev?")
    assert (opened.num, opened.is_pull_request) == (1, False)
    assert api.comment_discussion(NAME, 1, "It is.").content == "It is."
    assert api.create_pull_request(NAME, "Empty").git_reference == "refs/pr/2"
    assert [found.num for found in api.get_repo_discussions(NAME)] == [2, 1]
    proposals = api.get_repo_discussions(NAME, discussion_type="pull_request")
    assert [found.title for found in proposals] == ["Empty"]
    assert not list(api.get_repo_discussions(NAME, discussion_status="closed"))
    assert hub.faults == []


def test_a_commit_on_an_old_parent_is_a_conflict(hub, api):
    api.create_repo(NAME)
    parent = hub.head(NAME)
    pushed = hub.push(NAME, {"theirs.txt": b"t"})
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        commit(api, [added("a.txt", "a")], parent_commit=parent)
    assert caught.value.response.status_code == 412
    assert hub.head(NAME) == pushed
    commit(api, [added("a.txt", "a")], parent_commit=pushed)
    assert set(hub.files(NAME)) == {".gitattributes", "theirs.txt", "a.txt"}
    assert hub.faults == []


def test_operations_are_done_together_or_not_at_all(hub, api):
    api.create_repo(NAME)
    commit(api, [added(p, p) for p in ("a.txt", "b/c.txt", "b/d.txt")] + [added("w.bin", "w")])
    before = hub.head(NAME)
    with pytest.raises(HfHubHTTPError, match="doesn't exist"):
        commit(api, [added("e.txt", "e"), CommitOperationDelete("missing.txt")])
    assert hub.head(NAME) == before
    commit(
        api,
        [
            CommitOperationDelete("a.txt"),
            CommitOperationDelete("b/"),
            added("b/e.txt", "e"),
            CommitOperationCopy("w.bin", "copy.bin"),
        ],
    )
    assert set(hub.files(NAME)) == {".gitattributes", "b/e.txt", "w.bin", "copy.bin"}
    assert hub.files(NAME)["copy.bin"] == b"w"
    assert "a.txt" in hub.files(NAME, before)
    assert hub.faults == []


def test_listings(hub, api):
    hub.page_entries = 2
    api.create_repo(NAME)
    first = commit(api, [added("a/b/c.txt", "c"), added("d.txt", "d"), added("w.pt", "w")]).oid
    commit(api, [added("d.txt", "e")])
    paths = [entry.path for entry in api.list_repo_tree(NAME, recursive=True)]
    assert sorted(paths) == [".gitattributes", "a", "a/b", "a/b/c.txt", "d.txt", "w.pt"]
    assert [entry.path for entry in api.list_repo_tree(NAME, "a", recursive=False)] == ["a/b"]
    assert {e.path for e in api.list_repo_tree(NAME, "a", recursive=True)} == {"a/b", "a/b/c.txt"}
    last = {e.path: e.last_commit.oid for e in api.list_repo_tree(NAME, expand=True)}
    assert last["a"] == last["w.pt"] == first
    assert last["d.txt"] == hub.head(NAME)
    with pytest.raises(HfHubHTTPError, match="Entry Not Found"):
        list(api.list_repo_tree(NAME, "nowhere"))
    found = {e.path: e for e in api.get_paths_info(NAME, ["a", "w.pt", "nowhere"], expand=True)}
    assert set(found) == {"a", "w.pt"}
    assert found["w.pt"].lfs.size == 1
    titles = [said.title for said in api.list_repo_commits(NAME)]
    assert titles == ["a commit", "a commit", "initial commit"]
    assert api.file_exists(NAME, "d.txt")
    assert not api.file_exists(NAME, "nowhere")
    assert hub.faults == []


def test_branches_and_tags(hub, api, tmp_path):
    api.create_repo(NAME)
    start = hub.head(NAME)
    commit(api, [added("a.txt", "a")])
    api.create_branch(NAME, branch="try/this")
    api.create_branch(NAME, branch="empty", revision=start)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(NAME, branch="empty")
    api.create_branch(NAME, branch="empty", exist_ok=True)
    api.create_tag(NAME, tag="v1")
    commit(api, [added("a.txt", "b")], revision="try/this")
    assert fetched(hub, tmp_path / "1", "try/this") == {"a.txt": b"b"}
    assert fetched(hub, tmp_path / "2", "v1") == fetched(hub, tmp_path / "3") == {"a.txt": b"a"}
    refs = api.list_repo_refs(NAME)
    assert {b.name for b in refs.branches} == {"main", "try/this", "empty"}
    assert [t.ref for t in refs.tags] == ["refs/tags/v1"]
    api.delete_branch(NAME, branch="try/this")
    api.delete_tag(NAME, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        fetched(hub, tmp_path / "4", "v1")
    assert hub.faults == []


@pytest.mark.parametrize(
    ("asked_for", "status", "content", "says"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
    ],
)
def test_a_part_of_a_file(hub, asked_for, status, content, says):
    hub.create(NAME)
    hub.push(NAME, {"digits.txt": b"0123456789"})
    url = f"{hub.endpoint}/{NAME}/resolve/main/digits.txt"
    answer = httpx2.get(url, headers={"Range": asked_for})
    assert (answer.status_code, answer.headers["Content-Range"]) == (status, says)
    assert content is None or answer.content == content


def test_a_card_is_checked_before_anything_is_uploaded(hub, api):
    api.create_repo(NAME)
    for card, says in [
        ("---\nlanguage: yor_Latn\n---\n", "language"),
        ("---\nlicense: [\n---\n", "YAML"),
        ("---\nbase_model: a b\n---\n", "base_model"),
        ("---\nmodel-index:\n- name: x\n  results:\n  - task: {type: x}\n---\n", "dataset.type"),
    ]:
        with pytest.raises(ValueError, match=rf"(?s)Invalid metadata in README\.md.*{says}"):
            commit(api, [added("README.md", card)])
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, [added("README.md", "# no metadata")])
    assert not asked(hub, "PUT")
    assert hub.faults == []


def test_what_holds_a_secret(hub, api):
    api.create_repo(NAME)
    commit(api, [added("recipe.yaml", "token: hf_other")], commit_description="with hf_other")
    oid = hub.head(NAME)
    assert hub.holds("hf_other") == [f"message of {NAME}@{oid}", f"{NAME}@{oid}/recipe.yaml"]
