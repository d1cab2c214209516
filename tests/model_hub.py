"""A Hub on the loopback with models of one commit each: what the real client asks for a base."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class ModelHub:
    """`files`: model id -> path -> bytes. `refusal`: status and X-Error-Code of every answer."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refusal: tuple[int, str | None] | None = None
    silent: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    """A hub that answers at `endpoint` while the block lasts."""
    hub = ModelHub()

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
    served: ModelHub

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.served
        path = unquote(urlsplit(self.path).path).strip("/")
        hub.requests.append(f"{self.command} {path}")
        while hub.silent.is_set():
            threading.Event().wait(0.05)
        if hub.refusal is not None and path:
            status, code = hub.refusal
            self._send(status, b"", {"X-Error-Code": code} if code else {})
            return
        parts = path.split("/")
        api = parts[:2] == ["api", "models"]
        model, rest = "/".join(parts[2:4] if api else parts[:2]), parts[4 if api else 2 :]
        if not path:
            self._send(200, b"", {})
        elif model not in hub.files:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif api:
            self._json(self._described(model, rest))
        else:
            self._file(hub.files[model].get("/".join(rest[2:])))

    def _described(self, model: str, rest: list[str]) -> Any:
        files = self.served.files[model]
        if rest[:1] == ["tree"]:
            return [
                {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
                for path, content in files.items()
            ]
        return {"id": model, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]}

    def _file(self, content: bytes | None) -> None:
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(content)}"'})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
