"""A Hub of our own on the loopback: the few calls that reading a data set or a base makes.

The real clients of `huggingface_hub` and `datasets` talk to it through HF_ENDPOINT.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """`revisions`: branch or commit -> commit; `commits`: commit -> files."""

    revisions: dict[str, str]
    commits: dict[str, Files]
    kind: str = "datasets"
    gated: bool = False


@dataclass
class Hub:
    """Repositories by id; `requests` remembers what was asked.

    `refusal` is the status and X-Error-Code of every answer; while `silent` is set none comes.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refusal: tuple[int, str | None] | None = None
    silent: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def add(
        self, name: str, files: Files, parquet: Files | None = None, kind: str = "datasets"
    ) -> str:
        """A data set, or one of the `models`, with these files on main; returns its commit."""
        commit = hashlib.sha1(name.encode()).hexdigest()
        revisions, commits = {"main": commit}, {commit: files}
        if parquet is not None:
            converted = hashlib.sha1(f"{name} parquet".encode()).hexdigest()
            revisions["refs/convert/parquet"] = converted
            commits[converted] = parquet
        self.repositories[name] = Repository(revisions, commits, kind)
        return commit


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.endpoint` while the block lasts."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Hub

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        hub = self.served
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        hub.requests.append(f"{self.command} {'/'.join(parts)}")
        while hub.silent.is_set():
            threading.Event().wait(0.05)
        api = parts[0] == "api"
        if not api and parts[0] != "datasets":
            # a model's files have no kind in front of their address
            parts = ["models", *parts]
        kind, *rest = parts[1:] if api else parts
        name = "/".join(rest[:2])
        repository = hub.repositories.get(name)
        if not name:
            self._json({})
        elif hub.refusal is not None:
            self._fail(*hub.refusal)
        elif repository is None or kind != repository.kind:
            self._fail(404, "RepoNotFound")
        elif repository.gated:
            self._fail(403, "GatedRepo")
        elif api:
            self._api(name, repository, rest[2:], body)
        else:
            self._resolve(repository, rest[3:])

    def _api(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        what, revision, path = _split_revision(rest, repository)
        commit = repository.revisions.get(revision, revision)
        if commit not in repository.commits:
            self._fail(404, "RevisionNotFound")
            return
        files = repository.commits[commit]
        if what == "tree":
            inside = {p: c for p, c in files.items() if p.startswith(path)}
            self._json(_entries(inside))
        elif what == "paths-info":
            wanted = (
                json.loads(body)["paths"]
                if body.startswith(b"{")
                else parse_qs(body.decode())["paths"]
            )
            self._json(_entries({p: files[p] for p in wanted if p in files}))
        else:
            siblings = [{"rfilename": path} for path in files]
            self._json({"id": name, "sha": commit, "siblings": siblings, "tags": []})

    def _resolve(self, repository: Repository, rest: list[str]) -> None:
        _, revision, path = _split_revision(["resolve", *rest], repository)
        commit = repository.revisions.get(revision, revision)
        content = repository.commits.get(commit, {}).get(path)
        if content is None:
            self._fail(404, "EntryNotFound", commit)
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{_oid(content)}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: int, code: str | None, commit: str | None = None) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
        if commit is not None:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _split_revision(rest: list[str], repository: Repository) -> tuple[str, str, str]:
    """What is asked, the revision (a branch name may hold slashes), the path."""
    if not rest:
        return "revision", "main", ""
    what, tail = rest[0], "/".join(rest[1:])
    for revision in (*repository.revisions, *repository.commits):
        if tail == revision or tail.startswith(f"{revision}/"):
            return what, revision, tail.removeprefix(revision).lstrip("/")
    return what, tail, ""


def _entries(files: Files) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
        for path, content in files.items()
    ]
    folders = {
        "/".join(path.split("/")[:depth])
        for path in files
        for depth in range(1, path.count("/") + 1)
    }
    entries += [{"type": "directory", "path": path, "oid": _oid(path.encode())} for path in folders]
    return entries


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
