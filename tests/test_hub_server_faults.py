"""What goes wrong at the Hub of the tests, on demand or by a request that no client sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hub_cases import (
    NAME,
    TOKEN,
    WEIGHTS,
    added,
    asked,
    commit,
    fetched,
    hub_of_two_users,
    write_adapter,
)
from hub_client import point_client_at
from hub_server import Hub
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

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


@pytest.mark.parametrize("kind", ["429", "500", "502", "503"])
def test_the_client_waits_and_tries_again(hub, api, kind, waits):
    api.create_repo(NAME)
    options = {"retry_after": 3} if kind == "429" else {}
    fault = hub.inject(kind, "PUT", "_lfs/", times=2, **options)
    commit(api, [added("w.bin", "w")])
    assert fault.fired == 2
    assert len(asked(hub, "PUT")) == 3
    assert waits == ([4, 4] if kind == "429" else [1, 2])
    assert hub.faults == []


def test_the_client_gives_up_after_five_retries(hub, api, waits):
    api.create_repo(NAME)
    fault = hub.inject("503", "POST", "objects/batch", times=99)
    with pytest.raises(HfHubHTTPError, match="503"):
        commit(api, [added("w.bin", "w")])
    assert fault.fired == 6
    assert waits == [1, 2, 4, 8, 8]
    assert set(hub.files(NAME)) == {".gitattributes"}


@pytest.mark.parametrize(
    ("kind", "says"),
    [("401", "Invalid credentials"), ("403", "rights"), ("412", "happened since"), ("500", "500")],
)
def test_a_commit_that_is_refused_is_not_tried_again(hub, api, kind, says, waits):
    api.create_repo(NAME)
    fault = hub.inject(kind, "POST", "/commit/", after=1)
    commit(api, [added("a.txt", "a")])
    with pytest.raises(HfHubHTTPError, match=says) as caught:
        commit(api, [added("b.txt", "b")])
    assert caught.value.response.status_code == int(kind)
    assert fault.fired == 1
    commit(api, [added("b.txt", "b")])
    assert waits == []
    assert hub.faults == []


def test_a_name_that_is_taken(hub, api):
    fault = hub.inject("409", "POST", "repos/create", times=2)
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo(NAME)
    assert api.create_repo(NAME, exist_ok=True).repo_id == NAME
    assert fault.fired == 2
    assert api.create_repo(NAME).repo_id == NAME


def test_an_upload_that_is_cut_is_done_again(hub, api, folder, waits):
    api.create_repo(NAME)
    fault = hub.inject("cut-upload", "PUT", "_lfs/", times=2)
    api.upload_folder(repo_id=NAME, folder_path=folder)
    assert fault.fired == 2
    assert waits == [1, 2]
    assert hub.files(NAME)[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    assert hub.faults == []


def test_an_upload_in_parts_goes_on_with_the_part_that_was_cut(hub, api, folder):
    hub.multipart_from, hub.part_bytes = 10_000_000, 4_000_000
    api.create_repo(NAME)
    hub.inject("cut-upload", "PUT", "/2$")
    api.upload_folder(repo_id=NAME, folder_path=folder)
    assert [put[-1] for put in asked(hub, "PUT")] == ["1", "2", "2", "3"]
    assert hub.files(NAME)[WEIGHTS] == (folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize(("kind", "happened"), [("cut-upload", False), ("lost", True)])
def test_a_commit_that_is_cut_is_an_error_of_the_network(hub, api, kind, happened):
    api.create_repo(NAME)
    fault = hub.inject(kind, "POST", "/commit/main")
    with pytest.raises(httpx2.TransportError):
        commit(api, [added("a.txt", "a" * 10_000)])
    assert fault.fired == 1
    assert ("a.txt" in hub.files(NAME)) == happened


def test_a_download_that_is_cut_goes_on_where_it_was(hub, tmp_path, waits):
    hub.create(NAME)
    content = bytes(range(256)) * 20_000
    hub.push(NAME, {"big.dat": content})
    fault = hub.inject("cut-download", "GET", "big.dat", times=2)
    assert fetched(hub, tmp_path) == {"big.dat": content}
    assert fault.fired == 2
    assert waits == [1, 1]


def test_a_download_that_is_reset_is_an_error_of_the_network(hub, tmp_path):
    hub.create(NAME)
    hub.push(NAME, {"big.dat": b"x" * 5_000_000})
    fault = hub.inject("cut-download", "GET", "big.dat", reset=True)
    with pytest.raises(httpx2.NetworkError):
        fetched(hub, tmp_path)
    assert fault.fired == 1


def test_a_truncated_download_is_noticed_and_a_wrong_one_is_not(hub, tmp_path):
    hub.create(NAME)
    hub.push(NAME, {"a.dat": b"0123456789"})
    short = hub.inject("truncated", "GET", "resolve/.*a.dat")
    with pytest.raises(OSError, match="should be of size 10 but has size 5"):
        fetched(hub, tmp_path / "short")
    wrong = hub.inject("wrong-hash", "GET", "resolve/.*a.dat")
    assert fetched(hub, tmp_path / "wrong") == {"a.dat": b"0123456788"}
    assert (short.fired, wrong.fired) == (1, 1)
    assert fetched(hub, tmp_path / "whole") == {"a.dat": b"0123456789"}


@pytest.mark.parametrize("multipart", [False, True])
@pytest.mark.parametrize("kind", ["wrong-hash", "truncated"])
def test_an_object_is_stored_spoilt_and_nobody_says_so(hub, api, tmp_path, kind, multipart):
    if multipart:
        hub.multipart_from, hub.part_bytes = 100, 600
    api.create_repo(NAME)
    weights = b"w" * 1000
    fault = hub.inject(kind, "PUT", "_lfs/")
    commit(api, [added("w.bin", weights)])
    assert fault.fired == 1
    assert hub.faults == []
    assert hub.files(NAME)["w.bin"] != weights
    [info] = api.get_paths_info(NAME, "w.bin")
    assert (info.lfs.sha256, info.size) == (hashlib.sha256(weights).hexdigest(), 1000)
    if kind == "truncated":
        with pytest.raises(OSError, match="should be of size 1000"):
            fetched(hub, tmp_path)
    else:
        assert fetched(hub, tmp_path)["w.bin"] != weights


def test_a_hub_that_does_not_answer_in_time(hub):
    hub.create(NAME)
    hub.push(NAME, {"a.txt": b"a"})
    fault = hub.inject("timeout", "HEAD", "a.txt", seconds=0.6)
    # the second try, with a minute's patience, succeeds
    path = hf_hub_download(NAME, "a.txt", endpoint=hub.endpoint, etag_timeout=0.2)
    assert Path(path).read_bytes() == b"a"
    assert fault.fired == 1
    hub.inject("timeout", "GET", f"api/models/{NAME}", seconds=0.6)
    with pytest.raises(httpx2.TimeoutException):
        HfApi(endpoint=hub.endpoint).model_info(NAME, timeout=0.2)


def test_a_hub_that_is_gone_comes_back(hub, api, tmp_path):
    api.create_repo(NAME)
    commit(api, [added("a.txt", "a")])
    fault = hub.inject("gone", "POST", "preupload")
    with pytest.raises(httpx2.ConnectError):
        commit(api, [added("b.txt", "b")])
    with pytest.raises(httpx2.ConnectError):
        api.whoami()
    with pytest.raises(LocalEntryNotFoundError):
        fetched(hub, tmp_path / "gone")
    hub.revive()
    assert fetched(hub, tmp_path / "back") == {"a.txt": b"a"}
    assert fault.fired == 1
    hub.vanish()
    hub.vanish()
    hub.revive()
    assert api.whoami()["name"] == "ada"
    assert hub.faults == []


def test_faults_that_do_not_exist_are_refused(hub):
    with pytest.raises(ValueError, match="no fault '418'"):
        hub.inject("418", "GET", "")
    with pytest.raises(ValueError, match="500 has no option seconds"):
        hub.inject("500", "GET", "", seconds=1)


def commit_of(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/vnd.git-lfs+json"}
HEADER = {"key": "header", "value": {"summary": "s", "description": ""}}
FILE = {"content": "YQ==", "path": "a.txt", "encoding": "base64"}
LARGE = {"path": "w.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}
COMMIT, BATCH = f"api/models/{NAME}/commit/main", f"{NAME}.git/info/lfs/objects/batch"
OBJECTS = {
    "operation": "upload",
    "transfers": ["basic"],
    "objects": [{"oid": "0" * 64, "size": 3}],
    "hash_algo": "sha256",
}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (COMMIT, b"", "its header"),
        (COMMIT, b"{", "no JSON"),
        (COMMIT, commit_of(HEADER), "a commit of nothing"),
        (
            COMMIT,
            commit_of({"key": "header", "value": {"summary": "s"}}, HEADER),
            "lacks description",
        ),
        (COMMIT, commit_of(HEADER, {"key": "rename", "value": FILE}), "unknown operation 'rename'"),
        (COMMIT, commit_of(HEADER, {"key": "file", "value": LARGE}), "lacks content, encoding"),
        (COMMIT, commit_of(HEADER, {"key": "file", "value": FILE | {"mode": 1}}), "unknown mode"),
        (COMMIT, commit_of(HEADER, {"key": "file", "value": FILE | {"path": "../a"}}), "no path"),
        (COMMIT, commit_of(HEADER, {"key": "file", "value": FILE | {"content": "?"}}), "no base64"),
        (COMMIT, commit_of(HEADER, {"key": "file", "value": FILE | {"path": "w.bin"}}), "by LFS"),
        (COMMIT, commit_of(HEADER, *[{"key": "file", "value": FILE}] * 2), "twice"),
        (COMMIT, commit_of(HEADER, {"key": "lfsFile", "value": LARGE}), "never uploaded"),
        (BATCH, OBJECTS | {"operation": "download"}, "unknown operation 'download'"),
        (BATCH, OBJECTS | {"objects": [{"oid": "0" * 64}]}, "lacks size"),
        (BATCH, OBJECTS | {"objects": [{"oid": "xyz", "size": 3}]}, "is no SHA-256"),
        (BATCH, OBJECTS | {"ref": {"name": "nowhere"}}, "no branch nowhere"),
        (f"api/models/{NAME}/preupload/main", {"files": [{"path": "a"}]}, "lacks sample, size"),
        ("api/repos/create", {"name": "x", "licence": "mit"}, "unknown licence"),
        ("api/validate-yaml", {"content": ""}, "lacks repoType"),
        (f"api/models/{NAME}/branch/b", {"startingPoint": 3}, "startingPoint is a int"),
        (f"api/models/{NAME}/anything", {}, "no such address"),
    ],
)
def test_what_the_client_never_sends_is_refused_and_remembered(hub, path, body, says):
    hub.create(NAME)
    start = hub.head(NAME)
    kind = "application/x-ndjson" if path == COMMIT else "application/json"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx2.post(
        f"{hub.endpoint}/{path}", content=content, headers=HEADERS | {"Content-Type": kind}
    )
    assert 400 <= answer.status_code < 500
    assert len(hub.faults) == 1
    assert hub.faults[0].startswith(f"POST {path}: ")
    assert says in hub.faults[0]
    assert hub.head(NAME) == start


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b"abcd", {}, "has 4 bytes, not 3"),
        (b"abd", {}, "another SHA-256"),
        (b"abc", {"Authorization": f"Bearer {TOKEN}"}, "a token was sent to the storage"),
    ],
)
def test_an_upload_has_to_be_what_it_says(hub, content, headers, says):
    hub.create(NAME)
    oid = hashlib.sha256(b"abc").hexdigest()
    asked_for = OBJECTS | {"objects": [{"oid": oid, "size": 3}]}
    granted = httpx2.post(f"{hub.endpoint}/{BATCH}", json=asked_for, headers=HEADERS).json()
    href = granted["objects"][0]["actions"]["upload"]["href"]
    assert httpx2.put(href, content=content, headers=headers).status_code == 400
    assert httpx2.put(f"{href}0", content=b"abc").status_code == 403
    assert says in hub.faults[0]
    assert "no such upload" in hub.faults[1]
    assert hub.repositories[NAME].objects == {}
