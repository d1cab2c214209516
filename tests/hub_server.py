"""A Hub of our own on the loopback: what reading data sets and bases asks, and publishing models.

The real clients of `huggingface_hub` and `datasets` talk to it through HF_ENDPOINT. A request that
those never send is refused and remembered in `Hub.faults`. Here is the HTTP; what is held is in
`hub_store.py`, what each address does in `hub_reads.py`, `hub_writes.py`, `hub_lfs.py` and
`hub_discussions.py`, what can be made to go wrong in `hub_injection.py`.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import hub_discussions
import hub_lfs
import hub_reads
import hub_writes
from hub_http import (
    INVALID_TOKEN,
    NO_TOKEN,
    Call,
    RefusedError,
    Reply,
    Request,
    account_of,
    malformed,
)
from hub_injection import Injection
from hub_store import Account, Commit, Discussion, Files, Hub, Pointer, Repository

__all__ = [
    "Account",
    "Commit",
    "Discussion",
    "Files",
    "Hub",
    "Injection",
    "Pointer",
    "Repository",
    "serve",
]

# On https the client takes a 401 of these addresses for a missing repository, unless it speaks of
# invalid credentials; on http only where the Hub says so.
_OF_A_REPOSITORY = re.compile(r"api/(models|datasets|spaces)/.+|.+/resolve/.+")

_SITE: dict[tuple[str, str], Callable[[Hub, Request], Reply]] = {
    ("GET", "api/whoami-v2"): hub_writes.whoami,
    ("POST", "api/validate-yaml"): hub_writes.validate_yaml,
    ("POST", "api/repos/create"): hub_writes.create_repository,
    ("DELETE", "api/repos/delete"): hub_writes.delete_repository,
}
_REPOSITORY: dict[tuple[str, str], Callable[[Call], Reply]] = {
    ("GET", ""): hub_reads.revision_info,
    ("GET", "revision"): hub_reads.revision_info,
    ("GET", "tree"): hub_reads.tree,
    ("POST", "paths-info"): hub_reads.paths_info,
    ("GET", "refs"): hub_reads.refs,
    ("GET", "commits"): hub_reads.commits,
    ("GET", "auth-check"): lambda call: Reply.json({}),
    ("GET", "discussions"): hub_discussions.details,
    ("POST", "discussions"): hub_discussions.change,
    ("POST", "preupload"): hub_writes.preupload,
    ("POST", "commit"): hub_writes.commit,
    ("POST", "branch"): hub_writes.create_branch,
    ("DELETE", "branch"): hub_writes.delete_reference,
    ("POST", "tag"): hub_writes.create_tag,
    ("DELETE", "tag"): hub_writes.delete_reference,
    ("PUT", "settings"): hub_writes.settings,
    ("GET", "resolve"): hub_reads.resolve,
    ("HEAD", "resolve"): hub_reads.resolve,
    ("POST", "lfs/batch"): hub_lfs.batch,
    ("POST", "lfs/verify"): hub_lfs.verify,
}


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.endpoint` while the block lasts."""

    class Handler(_Handler):
        served = hub

    running: list[tuple[_Server, threading.Thread]] = []
    port = 0

    def start() -> None:
        nonlocal port
        if running:
            return
        server = _Server(("127.0.0.1", port), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((server, thread))
        port = server.server_port

    def stop() -> None:
        while running:
            server, thread = running.pop()
            server.shutdown()
            server.server_close()
            thread.join()

    start()
    hub.endpoint = f"http://127.0.0.1:{port}"
    hub._listening = start, stop
    try:
        yield hub
    finally:
        stop()
        hub._listening = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        super().__init__(address, handler)
        self.abrupt: set[socket.socket] = set()

    def shutdown_request(self, request: Any) -> None:
        if request in self.abrupt:
            # a shutdown would end the connection in good order, before the RST
            self.abrupt.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    server: _Server

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub = self.served
        path = unquote(urlsplit(self.path).path).strip("/")
        hub.requests.append(f"{self.command} {path}")
        while hub.silent.is_set():
            threading.Event().wait(0.05)
        injection = hub.injected(self.command, path)
        try:
            if injection is None or not self._broken_off(injection):
                self._answer(path, injection)
        except ConnectionError:
            # the client has given up waiting, or tests want to see what it does then
            self.close_connection = True

    def _broken_off(self, injection: Injection) -> bool:
        """Whether the fault ends the connection before anything is done."""
        if injection.kind == "cut-upload":
            self._body(injection.option("fraction"))
            self._reset()
        elif injection.kind == "timeout":
            threading.Event().wait(injection.option("seconds"))
        elif injection.kind == "gone":
            self.served.vanish()
        else:
            return False
        self.close_connection = True
        return True

    def _answer(self, path: str, injection: Injection | None) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        spoil = injection.spoil if injection else lambda content: content
        request = Request(self.command, path, query, self.headers, self._body(), spoil)
        reply = injection.answer(request, self.served.endpoint) if injection else None
        if reply is None:
            with self.served.lock:
                reply = _reply(self.served, request)
        if injection is None or injection.kind != "lost":
            self._send(reply, injection)

    def _body(self, fraction: float = 1.0) -> bytes:
        """What the request brings, or the first fraction of it."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            wanted = int(int(self.headers.get("Content-Length", 0)) * fraction)
            body = self.rfile.read(wanted)
            if len(body) < wanted:
                raise ConnectionAbortedError
            return body
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
            if fraction < 1:
                return chunks[0]
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, reply: Reply, injection: Injection | None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if injection is None or injection.kind != "cut-download":
            self.wfile.write(reply.body)
            return
        self.wfile.write(reply.body[: int(len(reply.body) * injection.option("fraction"))])
        self.wfile.flush()
        if injection.option("reset"):
            self._reset()

    def _reset(self) -> None:
        """Let the connection end by RST: the other end gets an error, and no orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.abrupt.add(self.connection)


def _reply(hub: Hub, request: Request) -> Reply:
    """The answer to the request, refusals among them; malformed requests are remembered."""
    try:
        return _route(hub, request)
    except RefusedError as refused:
        anonymous = refused.status == 401 and refused.message != INVALID_TOKEN
        if anonymous and refused.code is None and _OF_A_REPOSITORY.fullmatch(request.path):
            refused.code = "RepoNotFound"
        if refused.malformed:
            hub.faults.append(f"{request.method} {request.path}: {refused.message}")
        return refused.reply()
    except Exception:
        # a mistake in this server must not pass for one of the Hub
        hub.faults.append(f"{request.method} {request.path}: {traceback.format_exc()}")
        return Reply(500)


def _route(hub: Hub, request: Request) -> Reply:
    parts = request.path.split("/")
    if request.path in ("", "api"):
        return Reply.json({})
    if hub.refusal is not None:
        status, code = hub.refusal
        return Reply(status, headers={"X-Error-Code": code} if code else {})
    if parts[0] == hub_lfs.GRANTED:
        return hub_lfs.upload(hub, request)
    if site := _SITE.get((request.method, request.path)):
        return site(hub, request)
    api = parts[0] == "api"
    if not api and parts[0] != "datasets":
        # a model's files have no kind in front of their address
        parts = ["models", *parts]
    kind, *rest = parts[1:] if api else parts
    name, rest = "/".join(rest[:2]), rest[2:]
    if name.endswith(".git"):
        # git's own address: <name>.git/info/lfs/objects/batch
        name, rest = name.removesuffix(".git"), [f"lfs/{rest[-1]}"] if rest else []
    what = rest[0] if rest else ""
    if (endpoint := _REPOSITORY.get((request.method, what))) is None:
        raise malformed("there is no such address", 404)
    account = account_of(hub, request)
    if account is None and request.method not in ("GET", "HEAD") and what != "paths-info":
        raise malformed(NO_TOKEN, 401)
    repository = _visible(hub, name, kind, account)
    return endpoint(Call(hub, request, name, repository, account, rest))


def _visible(hub: Hub, name: str, kind: str, account: Account | None) -> Repository:
    """The repository, if whoever asks may know of it: a private one seems not to be there."""
    repository = hub.repositories.get(name)
    hidden = repository is not None and repository.private
    if hidden and (account is None or not account.belongs_to(name.partition("/")[0])):
        repository = None
    if repository is None or repository.kind != kind:
        raise RefusedError(
            401 if account is None and hidden else 404, "Repository not found", "RepoNotFound"
        )
    if repository.gated:
        raise RefusedError(403, f"Access to {name} is restricted", "GatedRepo")
    return repository
