"""The publish stage: one commit, downloaded again and proven to answer the same, or taken back.

Every step is noted in `publish/<repository>/state.json` of the run, so that the same command goes
on after whatever ended it.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from lowres import artifacts, gate, repository
from lowres.errors import HubError, RunError
from lowres.hardware import Hardware
from lowres.hub_upload import GIT_FILES, Commit, Uploader, sha256
from lowres.progress import Progress
from lowres.recipe_publish import Publish
from lowres.repository import Built

STATE: Final = "state.json"
REPOSITORY: Final = "repository"
OURS: Final = "probe.json"
"""Its presence tells a repository that lowres made from any other."""
_REPO_ID: Final = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


@dataclass(frozen=True)
class Options:
    """How to publish. `seed`: median, best-dev or a number."""

    seed: str = "median"
    private: bool = False
    revision: str = "main"
    pr: bool = False
    force: bool = False


@dataclass(frozen=True)
class Published:
    """What came of it. `widest`: largest difference of a logit at the gate."""

    repo_id: str
    seed: int
    commit: str
    pr: int | None
    widest: float
    tolerance: float


@dataclass(frozen=True)
class _State:
    """`files`: fingerprint of what was sent. `before`: the branch's commit until then."""

    files: str
    before: str | None
    commit: str | None = None
    pr: int | None = None
    passed: bool = False
    widest: float = 0.0


def prepare(
    run: Path, repo_id: str, options: Options, section: Publish, hardware: Hardware
) -> Built:
    """Build and check the repository's folder; nothing is sent.

    Raises `RunError` as `repository.build` does, `HubError` for an id that is none.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise HubError(f"{repo_id!r} is no repository id; write it as namespace/name")
    out = _place(run, repo_id) / REPOSITORY
    return repository.build(run, repo_id, options.seed, section, hardware, out)


def publish(run: Path, built: Built, options: Options, progress: Progress) -> Published:
    """Send a folder that `prepare` made, and prove that it reloads.

    Raises:
        HubError: the Hub refuses, or what came back does not answer the same: then the commit was
            taken back (or its pull request closed), and what differed is said.
    """
    place = _place(run, built.repo_id)
    hashes = {
        file.relative_to(built.folder).as_posix(): sha256(file)
        for file in sorted(built.folder.rglob("*"))
        if file.is_file()
    }
    files = artifacts.fingerprint([hashes, options.revision, options.pr])
    hub = Uploader(built.repo_id, progress)
    hub.who()
    state = _read(place)
    if state is None or state.files != files or not _stands(hub, state, options):
        state = _send(hub, built, options, place, files, progress)
    if not state.passed:
        state = _proven(hub, built, options, place, state, hashes, progress)
    assert state.commit is not None, "it was sent"
    return Published(
        built.repo_id, built.seed, state.commit, state.pr, state.widest, built.tolerance
    )


def _place(run: Path, repo_id: str) -> Path:
    return run / "publish" / repo_id.replace("/", "--")


def _read(place: Path) -> _State | None:
    try:
        return _State(**json.loads((place / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(place: Path, state: _State) -> _State:
    artifacts.write_text(place / STATE, json.dumps(asdict(state)))
    return state


def _stands(hub: Uploader, state: _State, options: Options) -> bool:
    """Whether what was sent is still what is there."""
    if state.commit is None:
        return False
    branch = f"refs/pr/{state.pr}" if state.pr is not None else options.revision
    return hub.head(branch) == state.commit


def _send(
    hub: Uploader,
    built: Built,
    options: Options,
    place: Path,
    files: str,
    progress: Progress,
) -> _State:
    hub.check_card((built.folder / repository.README).read_text(encoding="utf-8"))
    hub.create(options.private)
    before = hub.head(options.revision)
    there = hub.files(before) if before is not None else {}
    others = sorted(set(there) - GIT_FILES)
    if others and OURS not in there and not options.force:
        raise RunError(
            f"{hub.page}: holds something else already ({', '.join(others[:3])}…); take another "
            "name, or overwrite it with --force"
        )
    state = _write(place, _State(files, before))
    sent = {path.relative_to(built.folder).as_posix() for path in built.folder.rglob("*")}
    stale = [name for name in others if name not in sent]
    progress.say(f"publish: {hub.page}: sending {len(sent)} files in one commit")
    message = f"lowres: adapter, seed {built.seed} ({files[:12]})"
    done: Commit = hub.commit(built.folder, stale, message, options.revision, before, options.pr)
    return _write(place, replace(state, commit=done.sha, pr=done.pr))


def _proven(
    hub: Uploader,
    built: Built,
    options: Options,
    place: Path,
    state: _State,
    hashes: dict[str, str],
    progress: Progress,
) -> _State:
    """Download what was sent, load it where lowres is unknown, compare; take it back otherwise."""
    assert state.commit is not None, "it was sent"
    progress.say(f"publish: gate: {state.commit[:12]} downloaded again, loaded without lowres")
    with tempfile.TemporaryDirectory(prefix="lowres-gate-") as cache:
        try:
            folder = hub.download(state.commit, Path(cache), hashes)
            found = gate.check(folder, Path(built.base.path), built.tolerance)
            faults = found.faults
        except HubError as error:
            if "came back" not in str(error) and "cannot load" not in str(error):
                raise
            faults, found = (str(error),), None
    if found is not None and not faults:
        return _write(place, replace(state, passed=True, widest=found.widest))
    why = "; ".join(faults[:3]) + ("; …" if len(faults) > 3 else "")
    if state.pr is not None:
        hub.close(state.pr, f"It does not reload as it was: {why}")
        undone = f"pull request {state.pr} is closed"
    else:
        hub.restore(options.revision, state.commit, state.before, "lowres: taken back")
        undone = "the commit was taken back"
    (place / STATE).unlink(missing_ok=True)
    raise HubError(f"publish: {hub.page}: not published: {why}. {undone[0].upper()}{undone[1:]}.")


def plain(done: Published) -> dict[str, object]:
    """As JSON."""
    return asdict(done)
