"""What the Hub of the tests answers to readers: revisions, listings, files."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlencode

from hub_http import Call, RefusedError, Reply, json_object, malformed
from hub_store import Files, Repository, git_oid

_BYTES = re.compile(r"bytes=(\d*)-(\d*)")


def revision_info(call: Call) -> Reply:
    """What `repo_info` asks: the commit, the names of the files, with `blobs` their ids too."""
    commit, _ = located(call.repository, call.tail or "main")
    repository = call.repository
    entries = _files(repository, commit)
    siblings: list[dict[str, Any]] = [{"rfilename": entry["path"]} for entry in entries]
    if call.request.flag("blobs"):
        for sibling, entry in zip(siblings, entries, strict=True):
            sibling |= {"size": entry["size"], "blobId": entry["oid"]}
            if large := entry.get("lfs"):
                sibling["lfs"] = {"sha256": large["oid"]} | {
                    key: large[key] for key in ("size", "pointerSize")
                }
    said = repository.log.get(commit)
    return Reply.json(
        {
            "id": call.name,
            "sha": commit,
            "siblings": siblings,
            "tags": [],
            "author": call.name.partition("/")[0],
            "private": repository.private,
            "gated": False,
            "disabled": False,
            **({"lastModified": said.date} if said else {}),
        }
    )


def tree(call: Call) -> Reply:
    """The files and folders under a path, a page at a time."""
    commit, path = located(call.repository, call.tail)
    entries = _entries(call, commit, call.request.flag("expand"))
    inside = [e for e in entries if not path or e["path"].startswith(f"{path}/")]
    if path and not inside:
        raise _entry_not_found(path, commit)
    if not call.request.flag("recursive"):
        depth = path.count("/") + 1 if path else 0
        inside = [e for e in inside if e["path"].count("/") == depth]
    start = int(call.request.query.get("cursor", 0))
    end = start + call.hub.page_entries
    headers = {}
    if end < len(inside):
        query = urlencode({**call.request.query, "cursor": end})
        following = f"{call.hub.endpoint}/{call.request.path}?{query}"
        headers["Link"] = f'<{following}>; rel="next"'
    return Reply.json(inside[start:end], headers=headers)


def paths_info(call: Call) -> Reply:
    """The same of the paths that are asked for; those that do not exist are left out."""
    commit, _ = located(call.repository, call.tail)
    body = call.request.body
    asked: dict[str, Any]
    asked = json_object(body) if body.startswith(b"{") else parse_qs(body.decode())
    wanted = asked.get("paths", [])
    expand = str(asked.get("expand", "")).lower() in ("true", "['true']")
    entries = {entry["path"]: entry for entry in _entries(call, commit, expand)}
    return Reply.json([entries[path] for path in wanted if path in entries])


def refs(call: Call) -> Reply:
    """Branches, tags, and pull requests if they are asked for."""
    found: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    if call.request.flag("include_prs"):
        found["pullRequests"] = []
    for revision, commit in call.repository.revisions.items():
        kind, name, ref = "branches", revision, f"refs/heads/{revision}"
        if revision in call.repository.tags:
            kind, ref = "tags", f"refs/tags/{revision}"
        elif revision.startswith("refs/convert/"):
            kind, name, ref = "converts", revision.removeprefix("refs/convert/"), revision
        elif revision.startswith("refs/pr/"):
            kind, name, ref = "pullRequests", revision.removeprefix("refs/pr/"), revision
        if kind in found:
            found[kind].append({"name": name, "ref": ref, "targetCommit": commit})
    return Reply.json(found)


def commits(call: Call) -> Reply:
    """The history of a revision, newest first."""
    commit, _ = located(call.repository, call.tail or "main")
    listed = []
    for oid in call.repository.history(commit):
        said = call.repository.log.get(oid)
        if said is not None:
            about = {"title": said.summary, "message": said.description, "date": said.date}
            listed.append({"id": oid, "authors": [{"user": said.author}], **about})
    return Reply.json(listed)


def resolve(call: Call) -> Reply:
    """A file, or the part of it that `Range` asks for."""
    commit, path = located(call.repository, call.tail)
    content = call.repository.commits[commit].get(path)
    if content is None:
        raise _entry_not_found(path, commit)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{git_oid(content)}"', "Accept-Ranges": "bytes"}
    if pointer := call.repository.pointers.get(commit, {}).get(path):
        headers["X-Linked-Size"] = str(pointer.size)
        headers["ETag"] = headers["X-Linked-ETag"] = f'"{pointer.oid}"'
    content = call.request.spoil(content) if call.request.method == "GET" else content
    asked = call.request.headers.get("Range")
    if asked is None:
        return Reply(200, content, headers)
    match = _BYTES.fullmatch(asked)
    if match is None or not any(match.groups()):
        raise malformed(f"Range: {asked}")
    size = len(content)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        refused = RefusedError(416, "Requested range not satisfiable")
        refused.headers["Content-Range"] = f"bytes */{size}"
        raise refused
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Reply(206, content[start : end + 1], headers)


def located(repository: Repository, tail: str) -> tuple[str, str]:
    """The commit, and the path behind the revision: a branch name may hold slashes."""
    known = sorted((*repository.revisions, *repository.commits), key=len, reverse=True)
    for revision in known:
        if tail == revision or tail.startswith(f"{revision}/"):
            commit = repository.revisions.get(revision, revision)
            return commit, tail.removeprefix(revision).strip("/")
    raise RefusedError(404, f"Invalid rev id: {tail}", "RevisionNotFound")


def _entry_not_found(path: str, commit: str) -> RefusedError:
    refused = RefusedError(404, f"{path} does not exist on this revision", "EntryNotFound")
    refused.headers["X-Repo-Commit"] = commit
    return refused


def _files(repository: Repository, commit: str) -> list[dict[str, Any]]:
    entries = []
    large = repository.pointers.get(commit, {})
    for path, content in repository.commits[commit].items():
        entry: dict[str, Any] = {"type": "file", "path": path}
        if pointer := large.get(path):
            sizes = {"size": pointer.size, "pointerSize": len(pointer.text)}
            entry |= {"size": pointer.size, "oid": git_oid(pointer.text)}
            entry["lfs"] = {"oid": pointer.oid, **sizes}
        else:
            entry |= {"size": len(content), "oid": git_oid(content)}
        entries.append(entry)
    return entries


def _entries(call: Call, commit: str, expand: bool) -> list[dict[str, Any]]:
    entries = _files(call.repository, commit)
    paths = [entry["path"] for entry in entries]
    folders = {
        "/".join(path.split("/")[:depth])
        for path in paths
        for depth in range(1, path.count("/") + 1)
    }
    entries += [
        {"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0}
        for path in sorted(folders)
    ]
    if expand and commit in call.repository.log:
        scanned = {"status": "safe", "avScan": None, "pickleImportScan": None}
        for entry in entries:
            last = _last_change(call.repository, commit, entry["path"])
            said = call.repository.log[last]
            entry["lastCommit"] = {"id": last, "title": said.summary, "date": said.date}
            if entry["type"] == "file":
                entry["securityFileStatus"] = scanned
    return entries


def _last_change(repository: Repository, commit: str, path: str) -> str:
    """The newest commit that made something of the file or of what is in the folder."""

    def below(oid: str) -> Files:
        files = repository.commits[oid].items()
        return {p: c for p, c in files if p == path or p.startswith(f"{path}/")}

    for oid in repository.history(commit):
        said = repository.log.get(oid)
        if said is None or said.parent is None or below(said.parent) != below(oid):
            return oid
    raise AssertionError(f"{path} was never committed")
