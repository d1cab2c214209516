"""Requests and answers of the Hub of the tests, and what every endpoint checks of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_store import Account, Hub, Repository

INVALID_TOKEN = "Invalid credentials in Authorization header"
NO_TOKEN = "Invalid username or password."


@dataclass(frozen=True)
class Reply:
    """An answer; of a HEAD the body is only measured."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        body = json.dumps(value).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})


class RefusedError(Exception):
    """What was asked is not done; a `malformed` request is remembered as a fault."""

    def __init__(
        self, status: int, message: str, code: str | None = None, *, malformed: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.malformed = status, message, code, malformed
        self.headers: dict[str, str] = {}
        self.more: dict[str, Any] = {}

    def reply(self) -> Reply:
        headers = {"X-Error-Message": self.message, **self.headers}
        if self.code is not None:
            headers["X-Error-Code"] = self.code
        return Reply.json({"error": self.message, **self.more}, self.status, headers)


def malformed(message: str, status: int = 400) -> RefusedError:
    """The client sent what the real one never does."""
    return RefusedError(status, message, malformed=True)


@dataclass(frozen=True)
class Request:
    """`path` is unquoted, without slashes around it; `spoil` is what storage does to content."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    spoil: Callable[[bytes], bytes] = lambda content: content

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        if kind not in ("application/json", "application/vnd.git-lfs+json"):
            raise malformed(f"the body should be JSON, not {kind or 'without a type'}", 415)
        return json_object(self.body)


@dataclass(frozen=True)
class Call:
    """A request that names a repository; `rest` is its path behind the repository's id."""

    hub: Hub
    request: Request
    name: str
    repository: Repository
    account: Account | None
    rest: list[str]

    @property
    def tail(self) -> str:
        return "/".join(self.rest[1:])

    def writer(self, *, pull_request: bool = False) -> Account:
        """Who asks; he may write here, or for a pull request anywhere."""
        namespace = None if pull_request else self.name.partition("/")[0]
        return writer(self.account, namespace)


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object that the text is."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise malformed(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise malformed("JSON, but no object")
    return value


def checked(
    value: Any,
    where: str,
    required: Mapping[str, type],
    optional: Mapping[str, type | tuple[type, ...]] | None = None,
) -> dict[str, Any]:
    """The object, which has all required fields, none unknown, each of its type."""
    if not isinstance(value, dict):
        raise malformed(f"{where} is no object")
    types: dict[str, Any] = {**required, **(optional or {})}
    if missing := sorted(set(required) - set(value)):
        raise malformed(f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(set(value) - set(types)):
        raise malformed(f"{where} has unknown {', '.join(unknown)}")
    for name, content in value.items():
        # a bool is an int to Python, not to JSON
        if not isinstance(content, types[name]) or (
            isinstance(content, bool) and types[name] is int
        ):
            raise malformed(f"{where}.{name} is a {type(content).__name__}")
    return value


def account_of(hub: Hub, request: Request) -> Account | None:
    """Who asks; None for a request without a token. Raises for a token that is none, or expired."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    account = hub.account(token) if scheme == "Bearer" else None
    if account is None or account.role == "expired":
        raise RefusedError(401, INVALID_TOKEN)
    return account


def writer(account: Account | None, namespace: str | None) -> Account:
    """The account, which may write into the namespace."""
    if account is None:
        raise malformed(NO_TOKEN, 401)
    if account.role != "write":
        raise RefusedError(403, "This token may only read: it has no write access.")
    if namespace is not None and not account.belongs_to(namespace):
        raise RefusedError(
            403, f"You don't have the rights to write under the namespace {namespace}"
        )
    return account
