"""What the Hub of the tests lets writers do: repositories, commits, branches, tags.

The calls are those of `huggingface_hub` 2.4 (`hf_api.py`, `_commit_api.py`), and what that client
never sends is refused.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
from typing import Any

from hub_cards import check
from hub_discussions import open_pull_request, pull_request_of
from hub_http import (
    Call,
    RefusedError,
    Reply,
    Request,
    account_of,
    checked,
    json_object,
    malformed,
    writer,
)
from hub_reads import located
from hub_store import Commit, Hub, Pointer, Repository, git_oid

REGULAR_BYTES = 10 * 1024 * 1024  # a larger file is refused unless it comes by LFS
_SHA1 = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_NOT_IN_A_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_KINDS = {"model": "models", "dataset": "datasets"}
Changes = dict[str, bytes | None]
Effect = tuple[Changes, dict[str, Pointer]]


def whoami(hub: Hub, request: Request) -> Reply:
    """Whose the token is."""
    account = account_of(hub, request)
    if account is None:
        raise RefusedError(401, "Invalid username or password.")
    organisations = [
        {"type": "org", "name": name, "roleInOrg": "write"} for name in account.organisations
    ]
    token = {"displayName": "a token of the tests", "role": account.role}
    return Reply.json(
        {
            "type": "user",
            "id": git_oid(account.user.encode()),
            "name": account.user,
            "fullname": account.user,
            "orgs": organisations,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def create_repository(hub: Hub, request: Request) -> Reply:
    """A new repository in the user's namespace, or in an organisation's of his."""
    asked = checked(
        request.json(),
        "create",
        {"name": str},
        {
            "organization": (str, type(None)),
            "type": str,
            "visibility": str,
            "private": (bool, type(None)),  # what clients before 2.0 say for visibility
        },
    )
    name, kind = _named(hub, request, asked)
    if not _NAME.fullmatch(asked["name"]):
        raise malformed(f"no name for a repository: {asked['name']!r}")
    if asked.get("visibility", "public") not in ("public", "private"):
        raise malformed(f"unknown visibility {asked['visibility']!r}")
    url = f"{hub.endpoint}/{'' if kind == 'models' else kind + '/'}{name}"
    if name in hub.repositories:
        taken = RefusedError(409, f"You already created this {kind[:-1]} repo")
        taken.more = {"url": url}  # with exist_ok the client goes on with it
        raise taken
    hub.create(name, asked.get("visibility") == "private" or asked.get("private") is True, kind)
    return Reply.json({"url": url, "name": name, "id": git_oid(name.encode())})


def delete_repository(hub: Hub, request: Request) -> Reply:
    """It is gone, with all its commits."""
    optional: dict[str, Any] = {"organization": (str, type(None)), "type": str}
    name, kind = _named(hub, request, checked(request.json(), "delete", {"name": str}, optional))
    if name not in hub.repositories or hub.repositories[name].kind != kind:
        raise RefusedError(404, "Repository not found", "RepoNotFound")
    del hub.repositories[name]
    return Reply.json({})


def _named(hub: Hub, request: Request, asked: dict[str, Any]) -> tuple[str, str]:
    account = writer(account_of(hub, request), asked.get("organization"))
    kind = asked.get("type", "model")
    if kind not in _KINDS:
        raise malformed(f"unknown type {kind!r}")
    return f"{asked.get('organization') or account.user}/{asked['name']}", _KINDS[kind]


def validate_yaml(hub: Hub, request: Request) -> Reply:
    """The verdict on a README, before anything is uploaded."""
    account_of(hub, request)
    asked = checked(request.json(), "validate-yaml", {"content": str, "repoType": str})
    if asked["repoType"] not in _KINDS:
        raise malformed(f"unknown repoType {asked['repoType']!r}")
    verdict = check(asked["content"])
    said = {
        "errors": [{"message": message} for message in verdict.errors],
        "warnings": [{"message": message} for message in verdict.warnings],
    }
    return Reply.json(said, 400 if verdict.errors else 200)


def settings(call: Call) -> Reply:
    """Who may see the repository."""
    call.writer()
    asked = checked(call.request.json(), "settings", {"visibility": str})
    if asked["visibility"] not in ("public", "private"):
        raise malformed(f"unknown visibility {asked['visibility']!r}")
    call.repository.private = asked["visibility"] == "private"
    return Reply.json(asked)


def create_branch(call: Call) -> Reply:
    """A branch at the starting point, or at main."""
    call.writer()
    asked = checked(call.request.json(), "branch", {}, {"startingPoint": str})
    if not is_branch(call.tail):
        raise malformed(f"Invalid reference name: {call.tail!r}")
    if call.tail in call.repository.revisions:
        raise RefusedError(409, f"Reference already exists: refs/heads/{call.tail}")
    start, _ = located(call.repository, asked.get("startingPoint", "main"))
    call.repository.revisions[call.tail] = start
    return Reply.json({}, 201)


def is_branch(name: str) -> bool:
    """What `git check-ref-format --branch` takes, outside the Hub's own refs/."""
    if not name or name == "@" or name.startswith(("-", "refs/")) or name.endswith((".", "/")):
        return False
    if any(part in name for part in ("..", "//", "@{")) or _NOT_IN_A_BRANCH.search(name):
        return False
    parts = name.split("/")
    return not any(not p or p.startswith(".") or p.endswith(".lock") for p in parts)


def create_tag(call: Call) -> Reply:
    """A tag at a revision."""
    call.writer()
    asked = checked(call.request.json(), "tag", {"tag": str}, {"message": str})
    if asked["tag"] in call.repository.revisions:
        raise RefusedError(409, f"Tag reference exists already: refs/tags/{asked['tag']}")
    commit, _ = located(call.repository, call.tail)
    call.repository.revisions[asked["tag"]] = commit
    call.repository.tags.add(asked["tag"])
    return Reply.json({}, 201)


def delete_reference(call: Call) -> Reply:
    """A branch or a tag less; never main."""
    call.writer()
    is_tag = call.rest[0] == "tag"
    if call.tail == "main":
        raise RefusedError(403, "Cannot delete the default branch")
    if call.tail not in call.repository.revisions or is_tag != (call.tail in call.repository.tags):
        raise RefusedError(404, f"Reference not found: {call.tail}", "RevisionNotFound")
    del call.repository.revisions[call.tail]
    call.repository.tags.discard(call.tail)
    return Reply.json({})


def preupload(call: Call) -> Reply:
    """Which files are to come by LFS, and what is there under their names."""
    call.writer(pull_request=call.request.flag("create_pr"))
    asked = checked(call.request.json(), "preupload", {"files": list}, {"gitIgnore": str})
    commit, _ = located(call.repository, call.tail)
    answers = []
    for wanted in asked["files"]:
        file = checked(wanted, "file", {"path": str, "sample": str, "size": int})
        sample = _decoded(file["sample"], file["path"])
        if len(sample) != min(512, file["size"]):
            raise malformed(f"{file['path']}: {len(sample)} bytes are no sample of {file['size']}")
        path = _path(file["path"])
        present = call.repository.commits[commit].get(path)
        pointer = call.repository.pointers.get(commit, {}).get(path)
        oid = None if present is None else pointer.oid if pointer else git_oid(present)
        large = _is_large(call.repository, commit, path, file["size"])
        mode = "lfs" if large else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Reply.json({"files": answers, "commitOid": commit})


def commit(call: Call) -> Reply:
    """All the operations at once, on a branch or, with create_pr, as a pull request."""
    pull_request = call.request.flag("create_pr")
    account = call.writer(pull_request=pull_request or call.tail.startswith("refs/pr/"))
    said, operations = _operations(call.request)
    repository, branch = call.repository, call.tail
    if branch not in repository.revisions or branch in repository.tags:
        raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    head = repository.revisions[branch]
    if said.get("parentCommit", head) != head:
        raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
    changes: Changes = {}
    pointers: dict[str, Pointer] = {}
    for key, value in operations:
        _apply(call, head, (key, value), changes, pointers)
    record = Commit(said["summary"], account.user, call.hub.now(), said["description"], head)
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    if pull_request:
        discussion = open_pull_request(call, account, said["summary"], branch)
        branch = f"refs/pr/{discussion.number}"
        answer["pullRequestUrl"] = (
            f"{call.hub.endpoint}/{call.name}/discussions/{discussion.number}"
        )
    elif branch.startswith("refs/pr/") and pull_request_of(call, branch).status != "open":
        raise RefusedError(403, "The pull request is not open")
    oid = repository.write(branch, changes, record, pointers)
    answer |= {"commitOid": oid, "commitUrl": f"{call.hub.endpoint}/{call.name}/commit/{oid}"}
    return Reply.json(answer)


def _operations(request: Request) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The header and what follows it, of a body of one JSON object a line."""
    if request.headers.get("Content-Type") != "application/x-ndjson":
        raise malformed("a commit should be application/x-ndjson", 415)
    lines = [
        checked(json_object(line), "line", {"key": str, "value": dict})
        for line in request.body.splitlines()
    ]
    if not lines or lines[0]["key"] != "header":
        raise malformed("the first line of a commit should be its header")
    if len(lines) == 1:
        raise malformed("a commit of nothing")
    header = checked(
        lines[0]["value"], "header", {"summary": str, "description": str}, {"parentCommit": str}
    )
    if not header["summary"].strip():
        raise malformed("a commit without a summary")
    if "parentCommit" in header and not _SHA1.fullmatch(header["parentCommit"]):
        raise malformed(f"{header['parentCommit']} is no commit")
    return header, [(line["key"], line["value"]) for line in lines[1:]]


def _apply(
    call: Call,
    head: str,
    operation: tuple[str, dict[str, Any]],
    changes: Changes,
    pointers: dict[str, Pointer],
) -> None:
    """What the operation changes, written into `changes` and `pointers`."""
    key, value = operation
    if key not in _OPERATIONS:
        raise malformed(f"unknown operation {key!r}")
    done, large = _OPERATIONS[key](call, head, value)
    for path, content in done.items():
        # a folder that is deleted and filled anew is no mistake
        if changes.get(path) is not None or (path in changes and content is None):
            raise malformed(f"{path} stands twice in the commit")
    changes |= done
    pointers |= large


def _file(call: Call, head: str, value: dict[str, Any]) -> Effect:
    file = checked(value, "file", {"content": str, "path": str, "encoding": str})
    path = _path(file["path"])
    if file["encoding"] != "base64":
        raise malformed(f"{path}: unknown encoding {file['encoding']!r}")
    content = _decoded(file["content"], path)
    if _is_large(call.repository, head, path, len(content)):
        raise malformed(f"{path} should have come by LFS")
    if path == "README.md" and (errors := check(content.decode(errors="replace")).errors):
        raise malformed(f"README.md: {'; '.join(errors)}")
    return {path: content}, {}


def _lfs_file(call: Call, head: str, value: dict[str, Any]) -> Effect:
    file = checked(value, "lfsFile", {"path": str, "algo": str, "oid": str}, {"size": int})
    path = _path(file["path"])
    arrived = call.repository.objects.get(file["oid"])
    if arrived is None:
        raise malformed(f"{path}: the object {file['oid']} was never uploaded")
    # copies within the repository come without a size
    size = file.get("size", arrived.pointer.size)
    if file["algo"] != "sha256" or size != arrived.pointer.size:
        raise malformed(f"{path}: {file['algo']} of {size} bytes is not what came")
    return {path: arrived.content}, {path: arrived.pointer}


def _deleted_file(call: Call, head: str, value: dict[str, Any]) -> Effect:
    path = _path(checked(value, "deletedFile", {"path": str})["path"])
    if path not in call.repository.commits[head]:
        raise RefusedError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    return {path: None}, {}


def _deleted_folder(call: Call, head: str, value: dict[str, Any]) -> Effect:
    path = _path(checked(value, "deletedFolder", {"path": str})["path"].rstrip("/"))
    inside = [name for name in call.repository.commits[head] if name.startswith(f"{path}/")]
    if not inside:
        raise RefusedError(404, f"A folder with this name doesn't exist: {path}", "EntryNotFound")
    return dict.fromkeys(inside), {}


_OPERATIONS = {
    "file": _file,
    "lfsFile": _lfs_file,
    "deletedFile": _deleted_file,
    "deletedFolder": _deleted_folder,
}


def _is_large(repository: Repository, commit: str, path: str, size: int) -> bool:
    """Whether the file has to come by LFS: by its name, as `.gitattributes` says, or its size."""
    attributes = repository.commits[commit].get(".gitattributes", b"").decode().splitlines()
    patterns = [words[0] for line in attributes if "filter=lfs" in (words := line.split())]
    named = any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)
    return size > REGULAR_BYTES or (named and size > 0)


def _path(path: str) -> str:
    if any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise malformed(f"no path in a repository: {path!r}")
    return path


def _decoded(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise malformed(f"{path} is no base64: {error}") from None
