"""What the tests of the Hub and of its faults share: users, an adapter, the client's calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_client import point_client_at
from hub_server import Hub, serve
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from safetensors.numpy import save_file

from lowres import snapshots

TOKEN = "hf_of_ada_that_may_write"
READER, EXPIRED, STRANGER = "hf_of_ada_that_may_read", "hf_of_ada_expired", "hf_of_bob"
NAME = "ada/adapter"
CARD = b"---\nlanguage: yor\nlicense: mit\nbase_model: ada/base\n---\n# An adapter\n"
WEIGHTS = "adapter_model.safetensors"


@contextmanager
def hub_of_two_users() -> Iterator[Hub]:
    """A Hub with the tokens of ada and bob, none of which may be seen anywhere at the end."""
    made = Hub()
    made.add_token(TOKEN, "ada", organisations=("lab",))
    made.add_token(READER, "ada", "read")
    made.add_token(EXPIRED, "ada", "expired")
    made.add_token(STRANGER, "bob")
    with serve(made) as served:
        yield served
    for secret in (TOKEN, READER, EXPIRED, STRANGER):
        assert made.holds(secret) == []
        assert secret not in repr(made)


@contextmanager
def hub_in_use(
    monkeypatch: pytest.MonkeyPatch, folder: Path, token: str | None = None
) -> Iterator[Hub]:
    """The same, as the client's Hub, with an empty cache; nothing malformed may be asked of it."""
    with hub_of_two_users() as served:
        point_client_at(served, monkeypatch, folder / "cache")
        # whether a Hub answers is asked once a process
        snapshots._answers.cache_clear()
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        yield served
        assert served.faults == []
    snapshots._answers.cache_clear()


def write_adapter(folder: Path) -> Path:
    """A card, a small file, one in a folder, and 11 MB of weights."""
    (folder / "README.md").write_bytes(CARD)
    (folder / "labels.json").write_text('["a", "b"]')
    (folder / "more").mkdir()
    (folder / "more/notes.txt").write_text("ẹ̀kọ́", encoding="utf-8")
    rows = np.random.default_rng(0).standard_normal((2_750, 1_000), dtype=np.float32)
    save_file({"rows": rows}, folder / WEIGHTS)
    return folder


def contents(folder: Path | str) -> dict[str, bytes]:
    root = Path(folder)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def fetched(
    hub: Hub, where: Path, revision: str | None = None, token: Any = TOKEN
) -> dict[str, bytes]:
    """What snapshot_download brings into an empty cache, but `.gitattributes`."""
    path = snapshot_download(
        NAME, revision=revision, cache_dir=where, endpoint=hub.endpoint, token=token, etag_timeout=5
    )
    got = contents(path)
    got.pop(".gitattributes", None)
    return got


def added(path: str, content: bytes | str) -> CommitOperationAdd:
    data = content.encode() if isinstance(content, str) else content
    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)


def commit(api: HfApi, operations: list[Any], **options: Any) -> Any:
    return api.create_commit(NAME, operations, commit_message="a commit", **options)


def asked(hub: Hub, part: str) -> list[str]:
    return [request for request in hub.requests if part in request]
