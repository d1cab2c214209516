"""Pull requests and discussions of the Hub of the tests."""

from __future__ import annotations

from typing import Any

from hub_http import Call, RefusedError, Reply, checked, malformed
from hub_store import Account, Commit, Discussion


def open_pull_request(call: Call, account: Account, title: str, base: str) -> Discussion:
    """A pull request against the branch, whose own branch starts where that one stands."""
    discussion = _open(call, account, title)
    discussion.base, discussion.base_commit = base, call.repository.revisions[base]
    call.repository.revisions[f"refs/pr/{discussion.number}"] = discussion.base_commit
    return discussion


def pull_request_of(call: Call, branch: str) -> Discussion:
    """The pull request whose branch this is."""
    return call.repository.discussions[int(branch.removeprefix("refs/pr/"))]


def create(call: Call) -> Reply:
    """A discussion, or a pull request that changes nothing yet."""
    account = call.writer(pull_request=True)
    asked = checked(
        call.request.json(), "discussion", {"title": str, "description": str, "pullRequest": bool}
    )
    if asked["pullRequest"]:
        discussion = open_pull_request(call, account, asked["title"], "main")
        discussion.status = "draft"
    else:
        discussion = _open(call, account, asked["title"])
    _add_comment(call, discussion, account, asked["description"])
    return Reply.json({"num": discussion.number})


def details(call: Call) -> Reply:
    """What `get_discussion_details` asks for, or `get_repo_discussions`."""
    if not call.tail:
        return _listing(call)
    discussion = _found(call, call.tail)
    said = _head(call, discussion) | {"events": discussion.events, "diff": None}
    if discussion.base is not None:
        said["changes"] = {"base": f"refs/heads/{discussion.base}"}
        said["filesWithConflicts"] = []
    return Reply.json(said)


def _listing(call: Call) -> Reply:
    """The newest first, all on one page."""
    query = call.request.query
    wanted = [
        discussion
        for discussion in reversed(call.repository.discussions.values())
        if query.get("author", discussion.author) == discussion.author
        and query.get("type", "all") in ("all", _type(discussion))
        and query.get("status", "all")
        in ("all", "closed" if discussion.status in ("closed", "merged") else "open")
    ]
    heads = [_head(call, discussion) for discussion in wanted]
    return Reply.json({"discussions": heads, "count": len(heads), "start": 0})


def _type(discussion: Discussion) -> str:
    return "discussion" if discussion.base is None else "pull_request"


def _head(call: Call, discussion: Discussion) -> dict[str, Any]:
    return {
        "title": discussion.title,
        "num": discussion.number,
        "author": {"name": discussion.author},
        "createdAt": discussion.date,
        "status": discussion.status,
        "repo": {"name": call.name, "type": call.repository.kind[:-1]},
        "isPullRequest": discussion.base is not None,
    }


def change(call: Call) -> Reply:
    """A POST to a discussion: create one, set its status, comment on it, merge it."""
    if len(call.rest) == 1:
        return create(call)
    if len(call.rest) != 3 or call.rest[2] not in _CHANGES:
        raise malformed(f"unknown change of a discussion: {call.tail}", 404)
    return _CHANGES[call.rest[2]](call, _found(call, call.rest[1]))


def _set_status(call: Call, discussion: Discussion) -> Reply:
    account = _author_or_writer(call, discussion)
    asked = checked(call.request.json(), "status", {"status": str}, {"comment": str})
    if asked["status"] not in ("open", "closed"):
        raise malformed(f"unknown status {asked['status']!r}")
    if discussion.status == "merged":
        raise RefusedError(409, "The pull request is merged")
    if "comment" in asked:
        _add_comment(call, discussion, account, asked["comment"])
    discussion.status = asked["status"]
    event = _add_event(call, discussion, account, "status-change", {"status": asked["status"]})
    return Reply.json({"newStatus": event})


def _comment(call: Call, discussion: Discussion) -> Reply:
    account = call.writer(pull_request=True)
    asked = checked(call.request.json(), "comment", {"comment": str})
    return Reply.json({"newMessage": _add_comment(call, discussion, account, asked["comment"])})


def _merge(call: Call, discussion: Discussion) -> Reply:
    account = call.writer()
    if discussion.base is None or discussion.status != "open":
        raise RefusedError(409, "There is no open pull request to merge")
    repository, head = call.repository, call.repository.revisions[discussion.base]
    if head != discussion.base_commit:
        raise RefusedError(
            409, "The branch has moved since: no merge but of its newest commit is made"
        )
    wanted = repository.revisions[f"refs/pr/{discussion.number}"]
    files = repository.commits[wanted]
    gone = {path: None for path in repository.commits[head] if path not in files}
    said = Commit(
        f"{discussion.title} (#{discussion.number})", account.user, call.hub.now(), "", head
    )
    repository.write(discussion.base, {**files, **gone}, said, repository.pointers.get(wanted))
    discussion.status = "merged"
    _add_event(call, discussion, account, "status-change", {"status": "merged"})
    return Reply.json({})


_CHANGES = {"status": _set_status, "comment": _comment, "merge": _merge}


def _author_or_writer(call: Call, discussion: Discussion) -> Account:
    account = call.writer(pull_request=True)
    return account if account.user == discussion.author else call.writer()


def _open(call: Call, account: Account, title: str) -> Discussion:
    number = len(call.repository.discussions) + 1
    discussion = Discussion(number, title, account.user, call.hub.now())
    call.repository.discussions[number] = discussion
    return discussion


def _found(call: Call, number: str) -> Discussion:
    discussion = call.repository.discussions.get(int(number)) if number.isdigit() else None
    if discussion is None:
        raise RefusedError(404, f"Discussion not found: {number}")
    return discussion


def _add_comment(call: Call, discussion: Discussion, account: Account, text: str) -> dict[str, Any]:
    latest = {
        "raw": text,
        "html": text,
        "updatedAt": call.hub.now(),
        "author": {"name": account.user},
    }
    data = {"edited": False, "hidden": False, "latest": latest, "history": [latest]}
    return _add_event(call, discussion, account, "comment", data)


def _add_event(
    call: Call, discussion: Discussion, account: Account, kind: str, data: dict[str, Any]
) -> dict[str, Any]:
    event = {
        "id": f"{discussion.number:08x}{len(discussion.events):08x}",
        "type": kind,
        "createdAt": call.hub.now(),
        "author": {"name": account.user},
        "data": data,
    }
    discussion.events.append(event)
    return event
