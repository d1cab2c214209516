"""Faults on demand: which request meets which, and what becomes of its answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hub_http import INVALID_TOKEN, Reply

if TYPE_CHECKING:
    from hub_http import Request

# kind -> its options and their defaults
OPTIONS: dict[str, dict[str, Any]] = {
    "429": {"retry_after": 0},  # the client waits a second longer than it is told
    "500": {},
    "502": {},
    "503": {},
    "401": {"message": INVALID_TOKEN},  # as for an expired token
    "403": {"message": "You don't have the rights to do this."},
    # what repeating does not mend
    "400": {"message": "Bad request."},
    "413": {"message": "The commit is too large."},
    "422": {"message": "Unprocessable."},
    "409": {},  # the name is taken
    "412": {},  # somebody else committed
    # the connection ends after `fraction` of the body came in or went out; `reset` ends it by RST
    "cut-upload": {"fraction": 0.5},
    "cut-download": {"fraction": 0.5, "reset": False},
    "lost": {},  # what was asked happens, the answer never comes
    "timeout": {"seconds": 1.0},  # nothing comes for so long, then the connection ends
    # an upload is taken and stored with other bytes, or the half of them; so is a download
    "wrong-hash": {},
    "truncated": {},
    "gone": {},  # no connection is accepted any more, until `Hub.revive`
}
STATUSES = {
    "429": "We had to rate limit you.",
    "500": "Internal Error - We're working hard to fix this as soon as possible!",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "401": "",
    "403": "",
    "400": "",
    "413": "",
    "422": "",
    "409": "You already created this model repo",
    "412": "A commit has happened since. Please refresh and try again.",
}


@dataclass
class Injection:
    """A fault and whom it meets; `fired` counts how often it did."""

    kind: str
    method: str
    path: str
    times: int = 1
    after: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    passed: int = 0
    fired: int = 0

    def __post_init__(self) -> None:
        if self.kind not in OPTIONS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(OPTIONS)}")
        if unknown := set(self.options) - set(OPTIONS[self.kind]):
            raise ValueError(f"{self.kind} has no option {', '.join(sorted(unknown))}")

    def meets(self, method: str, path: str) -> bool:
        """Whether the request gets this fault; counts it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.passed < self.after:
            self.passed += 1
            return False
        if self.fired >= self.times:
            return False
        self.fired += 1
        return True

    def option(self, name: str) -> Any:
        return self.options.get(name, OPTIONS[self.kind][name])

    def answer(self, request: Request, endpoint: str) -> Reply | None:
        """The answer that stands for what was asked, if the fault is one of status."""
        if self.kind not in STATUSES:
            return None
        said: dict[str, Any] = {"error": STATUSES[self.kind]}
        headers = {}
        if self.kind == "429":
            headers["Retry-After"] = str(self.option("retry_after"))
        elif self.kind == "401" or "message" in OPTIONS[self.kind]:
            said["error"] = headers["X-Error-Message"] = self.option("message")
        elif self.kind == "409" and request.path == "api/repos/create":
            # the client reads the address from the refusal when told exist_ok
            wanted = json.loads(request.body)
            said["url"] = (
                f"{endpoint}/{wanted.get('organization') or 'somebody'}/{wanted.get('name')}"
            )
        return Reply.json(said, int(self.kind), headers)

    def spoil(self, content: bytes) -> bytes:
        """What is stored or sent in place of the content."""
        if self.kind == "truncated":
            return content[: len(content) // 2]
        if self.kind == "wrong-hash" and content:
            return content[:-1] + bytes([content[-1] ^ 1])
        return content
