"""What the Hub of the tests holds: accounts, repositories, commits, discussions. No HTTP."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hub_injection import Injection

Files = dict[str, bytes]
Role = Literal["write", "read", "expired"]

GITATTRIBUTES = b"".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n".encode()
    for ending in ("bin", "gz", "h5", "npy", "npz", "onnx", "parquet", "pt", "safetensors", "zip")
)


@dataclass(frozen=True)
class Account:
    """Whose a token is, and what it may do."""

    user: str
    role: Role = "write"
    organisations: tuple[str, ...] = ()

    def belongs_to(self, namespace: str) -> bool:
        return namespace in (self.user, *self.organisations)


@dataclass(frozen=True)
class Pointer:
    """What git holds in place of a large file; `oid` is the SHA-256 its uploader promised."""

    oid: str
    size: int

    @property
    def text(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.oid}\nsize {self.size}\n".encode()


@dataclass(frozen=True)
class LargeObject:
    """What was promised and what is stored: an injected fault lets them differ."""

    pointer: Pointer
    content: bytes


@dataclass
class Upload:
    """An upload that was granted; `parts`: number -> what came and what is stored of it."""

    name: str
    pointer: Pointer
    part_count: int = 0
    parts: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """What is said of a commit."""

    summary: str
    author: str
    date: str
    description: str = ""
    parent: str | None = None


@dataclass
class Discussion:
    """A discussion, or a pull request if it has a `base` branch, which stood at `base_commit`."""

    number: int
    title: str
    author: str
    date: str
    base: str | None = None
    base_commit: str | None = None
    status: str = "open"
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Repository:
    """`revisions`: branch, tag or commit -> commit; `commits`: commit -> files.

    `pointers`: commit -> the paths that are stored as LFS objects; `objects`: these, by SHA-256.
    """

    revisions: dict[str, str]
    commits: dict[str, Files] = field(repr=False)
    kind: str = "datasets"
    gated: bool = False
    private: bool = False
    pointers: dict[str, dict[str, Pointer]] = field(default_factory=dict)
    log: dict[str, Commit] = field(default_factory=dict)
    objects: dict[str, LargeObject] = field(default_factory=dict, repr=False)
    tags: set[str] = field(default_factory=set)
    discussions: dict[int, Discussion] = field(default_factory=dict)

    def write(
        self,
        branch: str,
        changes: Mapping[str, bytes | None],
        said: Commit,
        pointers: Mapping[str, Pointer] | None = None,
    ) -> str:
        """A commit on `said.parent`, at which the branch then points; None deletes a file."""
        files = dict(self.commits.get(said.parent or "", {}))
        large = dict(self.pointers.get(said.parent or "", {}))
        for path, content in changes.items():
            files.pop(path, None)
            large.pop(path, None)
            if content is not None:
                files[path] = content
        large.update(pointers or {})
        listing = sorted((path, git_oid(content)) for path, content in files.items())
        commit = hashlib.sha1(repr((said, listing, large)).encode()).hexdigest()
        self.commits[commit], self.pointers[commit], self.log[commit] = files, large, said
        self.revisions[branch] = commit
        return commit

    def history(self, commit: str) -> Iterator[str]:
        """The commit and its ancestors, newest first."""
        following: str | None = commit
        while following is not None:
            yield following
            said = self.log.get(following)
            following = said.parent if said else None


@dataclass
class Hub:
    """Repositories by id; `requests` remembers what was asked, `faults` what was asked wrongly.

    `refusal` is the status and X-Error-Code of every answer; while `silent` is set none comes.
    Objects of `multipart_from` bytes go up in parts of `part_bytes`; a page of a listing has
    `page_entries`. Tokens are kept as digests only, so that no printed Hub shows one.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refusal: tuple[int, str | None] | None = None
    silent: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""
    faults: list[str] = field(default_factory=list)
    multipart_from: int = 50_000_000
    part_bytes: int = 16_000_000
    page_entries: int = 1000
    injections: list[Injection] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    uploads: dict[str, Upload] = field(default_factory=dict, repr=False)
    _accounts: dict[str, Account] = field(default_factory=dict, repr=False)
    _seconds: Iterator[int] = field(default_factory=itertools.count, repr=False)
    _listening: tuple[Callable[[], None], Callable[[], None]] | None = field(
        default=None, repr=False
    )

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

    def add_token(
        self, token: str, user: str, role: Role = "write", organisations: tuple[str, ...] = ()
    ) -> None:
        """From now on the token is this user's."""
        self._accounts[_digest(token)] = Account(user, role, organisations)

    def account(self, token: str) -> Account | None:
        """Whose the token is."""
        return self._accounts.get(_digest(token))

    def create(self, name: str, private: bool = False, kind: str = "models") -> Repository:
        """A new repository: as on the real Hub, a first commit holds `.gitattributes`."""
        repository = Repository({}, {}, kind, private=private)
        said = Commit("initial commit", "system", self.now())
        repository.write("main", {".gitattributes": GITATTRIBUTES}, said)
        self.repositories[name] = repository
        return repository

    def push(
        self,
        name: str,
        changes: Mapping[str, bytes | None],
        summary: str = "a push from elsewhere",
        branch: str = "main",
    ) -> str:
        """A commit that somebody else makes, past the client; returns its id."""
        with self.lock:
            repository = self.repositories[name]
            parent = repository.revisions[branch]
            said = Commit(summary, "somebody-else", self.now(), parent=parent)
            return repository.write(branch, changes, said)

    def head(self, name: str, revision: str = "main") -> str:
        """The commit that the revision is."""
        return self.repositories[name].revisions[revision]

    def files(self, name: str, revision: str = "main") -> Files:
        """What the repository holds at a revision."""
        repository = self.repositories[name]
        return repository.commits[repository.revisions.get(revision, revision)]

    def holds(self, secret: str) -> list[str]:
        """Every place, of those that readers of the Hub or of its records see, with the secret."""
        needle = secret.encode()
        places = [f"request {asked}" for asked in self.requests if secret in asked]
        places += [f"fault {fault}" for fault in self.faults if secret in fault]
        for name, repository in self.repositories.items():
            for commit, files in repository.commits.items():
                said = repository.log.get(commit)
                if said and secret in f"{said.summary}\n{said.description}":
                    places.append(f"message of {name}@{commit}")
                places += [
                    f"{name}@{commit}/{path}"
                    for path, content in files.items()
                    if needle in content or secret in path
                ]
            places += [
                f"{name}#{discussion.number}"
                for discussion in repository.discussions.values()
                if secret in repr(discussion)
            ]
        return places

    def inject(
        self, kind: str, method: str, path: str, times: int = 1, after: int = 0, **options: Any
    ) -> Injection:
        """The fault `kind` for the `times` requests that match, once `after` of them went well.

        `method` matches whole, `path` anywhere; both are regular expressions, the path is as in
        `requests`. Kinds and their options: `hub_injection.OPTIONS`.
        """
        injection = Injection(kind, method, path, times, after, options)
        self.injections.append(injection)
        return injection

    def injected(self, method: str, path: str) -> Injection | None:
        """The fault this request meets; counted as fired."""
        with self.lock:
            return next((i for i in self.injections if i.meets(method, path)), None)

    def vanish(self) -> None:
        """Refuse every later connection until `revive`."""
        assert self._listening is not None, "the Hub is not being served"
        self._listening[1]()

    def revive(self) -> None:
        """Listen again, at the same endpoint."""
        assert self._listening is not None, "the Hub is not being served"
        self._listening[0]()

    def now(self) -> str:
        """A time one second after the last one: ids of commits do not hang on the clock."""
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._seconds))
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def git_oid(content: bytes) -> str:
    """The id git gives the content; the client compares it with its own to skip what is there."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
