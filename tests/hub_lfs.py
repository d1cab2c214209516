"""How large files come into the Hub of the tests: git-lfs' batch API, and the addresses it grants.

An upload goes to an address with a ticket, and without a token: on the real Hub that is another
host's, which must not see one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from hub_http import Call, RefusedError, Reply, Request, checked, malformed
from hub_store import Hub, LargeObject, Pointer, Upload

GRANTED = "_lfs"  # what the path of a granted address starts with
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LFS_JSON = "application/vnd.git-lfs+json"


def batch(call: Call) -> Reply:
    """Where each object is to be uploaded; nothing for those that are here already."""
    if call.request.headers.get("Accept") != _LFS_JSON:
        raise malformed(f"Accept should be {_LFS_JSON}", 406)
    asked = checked(
        call.request.json(),
        "batch",
        {"operation": str, "transfers": list, "objects": list, "hash_algo": str},
        {"ref": dict},
    )
    if asked["operation"] != "upload":
        raise malformed(f"unknown operation {asked['operation']!r}", 422)
    if asked["hash_algo"] != "sha256" or "basic" not in asked["transfers"]:
        raise malformed("only sha256 and basic or multipart transfers are known", 422)
    # without a branch it is for a pull request, which a reader of the repository may open
    call.writer(pull_request="ref" not in asked)
    if "ref" in asked and checked(asked["ref"], "ref", {"name": str})["name"] not in (
        call.repository.revisions
    ):
        raise malformed(f"no branch {asked['ref']['name']}", 404)
    if not asked["objects"]:
        raise malformed("no objects", 422)
    objects = [
        _granted(call, wanted, "multipart" in asked["transfers"]) for wanted in asked["objects"]
    ]
    multipart = any("chunk_size" in _header(granted) for granted in objects)
    transfer = "multipart" if multipart else "basic"
    return Reply.json(
        {"transfer": transfer, "objects": objects}, headers={"Content-Type": _LFS_JSON}
    )


def verify(call: Call) -> Reply:
    """Whether the object has arrived."""
    call.writer(pull_request=True)
    asked = checked(call.request.json(), "verify", {"oid": str, "size": int})
    arrived = call.repository.objects.get(asked["oid"])
    if arrived is None:
        raise malformed(f"no object {asked['oid']}", 404)
    if arrived.pointer.size != asked["size"]:
        raise malformed(
            f"{asked['oid']} has {arrived.pointer.size} bytes, not {asked['size']}", 422
        )
    return Reply.json({})


def upload(hub: Hub, request: Request) -> Reply:
    """What comes to a granted address: an object, a part, or word that all parts are there."""
    if "Authorization" in request.headers:
        raise malformed("a token was sent to the storage")
    granted = hub.uploads.get(request.query.get("ticket", ""))
    where = request.path.split("/")
    if granted is None or where[1:4] != [*granted.name.split("/"), granted.pointer.oid]:
        raise malformed("no such upload was granted", 403)
    last = where[4] if len(where) == 5 else None
    if request.method == "PUT" and last is None and not granted.part_count:
        _store(hub, granted, request.body, request.spoil(request.body))
        return Reply()
    if request.method == "PUT" and last and last.isdigit() and 0 < int(last) <= granted.part_count:
        return _take_part(hub, granted, int(last), request)
    if request.method == "POST" and last == "complete":
        return _complete(hub, granted, request)
    raise malformed(f"{request.method} of {last or 'the whole'} was not granted", 405)


def _header(granted: dict[str, Any]) -> dict[str, str]:
    header: dict[str, str] = granted.get("actions", {}).get("upload", {}).get("header", {})
    return header


def _granted(call: Call, wanted: Any, in_parts: bool) -> dict[str, Any]:
    asked = checked(wanted, "object", {"oid": str, "size": int})
    pointer = Pointer(asked["oid"], asked["size"])
    if not _SHA256.fullmatch(pointer.oid):
        raise malformed(f"{pointer.oid} is no SHA-256", 422)
    if pointer.size <= 0:
        raise malformed(
            f"{pointer.oid} of {pointer.size} bytes: an empty file is no LFS object", 422
        )
    answer: dict[str, Any] = {"oid": pointer.oid, "size": pointer.size, "authenticated": True}
    if pointer.oid in call.repository.objects:
        return answer
    hub, ticket = call.hub, secrets.token_hex(16)
    granted = hub.uploads[ticket] = Upload(call.name, pointer)
    address = f"{hub.endpoint}/{GRANTED}/{call.name}/{pointer.oid}"
    header, href = {}, f"{address}?ticket={ticket}"
    if in_parts and pointer.size >= hub.multipart_from:
        granted.part_count = -(-pointer.size // hub.part_bytes)
        numbers = range(1, granted.part_count + 1)
        header = {f"{n:05}": f"{address}/{n}?ticket={ticket}" for n in numbers}
        header["chunk_size"] = str(hub.part_bytes)
        href = f"{address}/complete?ticket={ticket}"
    answer["actions"] = {
        "upload": {"href": href, "header": header},
        "verify": {"href": f"{hub.endpoint}/{call.name}.git/info/lfs/objects/verify", "header": {}},
    }
    return answer


def _store(hub: Hub, granted: Upload, came: bytes, stored: bytes) -> None:
    pointer = granted.pointer
    if len(came) != pointer.size:
        raise malformed(f"{pointer.oid} has {len(came)} bytes, not {pointer.size}")
    if hashlib.sha256(came).hexdigest() != pointer.oid:
        raise malformed(f"what was uploaded as {pointer.oid} has another SHA-256")
    repository = hub.repositories.get(granted.name)
    if repository is None:
        raise RefusedError(404, "Repository not found", "RepoNotFound")
    repository.objects[pointer.oid] = LargeObject(pointer, stored)


def _take_part(hub: Hub, granted: Upload, number: int, request: Request) -> Reply:
    before = (number - 1) * hub.part_bytes
    expected = min(hub.part_bytes, granted.pointer.size - before)
    if len(request.body) != expected:
        raise malformed(f"part {number} has {len(request.body)} bytes, not {expected}")
    granted.parts[number] = request.body, request.spoil(request.body)
    return Reply(headers={"ETag": _etag(request.body)})


def _complete(hub: Hub, granted: Upload, request: Request) -> Reply:
    asked = checked(request.json(), "completion", {"oid": str, "parts": list})
    if asked["oid"] != granted.pointer.oid:
        raise malformed(f"{asked['oid']} is another object's")
    said = [checked(part, "part", {"partNumber": int, "etag": str}) for part in asked["parts"]]
    arrived = [
        {"partNumber": n, "etag": _etag(came)} for n, (came, _) in sorted(granted.parts.items())
    ]
    if len(arrived) != granted.part_count or said != arrived:
        raise malformed("the parts are not those that arrived")
    halves = [granted.parts[n] for n in sorted(granted.parts)]
    _store(hub, granted, b"".join(c for c, _ in halves), b"".join(s for _, s in halves))
    return Reply.json({"success": True})


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'
