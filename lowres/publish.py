"""The publish stage: one commit, downloaded again and proven to answer the same, or taken back.

Every step is noted in `publish/<repository>/state.json` of the run, so that the same command goes
on after whatever ended it.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from lowres import artifacts, gate, repository
from lowres.errors import HubError, ReloadError, RunError
from lowres.hub_upload import GIT_FILES, Uploader, bounded
from lowres.progress import Progress
from lowres.recipe_publish import Publish
from lowres.repository import Built

STATE: Final = "state.json"
REPOSITORY: Final = "repository"
OURS: Final = "probe.json"
"""Its presence tells a repository that lowres made from any other."""


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
    """What was sent, or was about to be when `commit` is None.

    `files`: its fingerprint. `before`: the branch's last commit that nobody has to take back;
    `parent`: the one that it was sent upon, which may be another that was never proven.
    """

    files: str
    message: str
    before: str
    parent: str
    commit: str | None = None
    pr: int | None = None
    passed: bool = False
    widest: float = 0.0


def prepare(run: Path, repo_id: str, options: Options, section: Publish) -> Built:
    """Build and check the repository's folder; nothing is sent.

    Raises `RunError` as `repository.build` does, `HubError` for an id that is none.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} is no repository id: {' '.join(str(error).split())}") from None
    if "/" not in repo_id:
        raise HubError(f"{repo_id!r} is no repository id; write it as namespace/name")
    out = _place(run, repo_id) / REPOSITORY
    return repository.build(run, repo_id, options.seed, section, out)


def publish(
    run: Path,
    built: Built,
    options: Options,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Send a folder that `prepare` made, and prove that it reloads.

    Raises:
        HubError: the Hub refuses, or what came back does not answer the same: then the commit was
            taken back (or its pull request closed), and what differed is said.
        RunError: the repository holds something else.
    """
    work = _Work(built, options, _place(run, built.repo_id), progress)
    with bounded():
        hub = Uploader(built.repo_id, progress, sleep)
        hub.who()
        state = _found(hub, work, _read(work.place))
        if state is None or state.files != work.files or not _stands(hub, state, options):
            state = _send(hub, work, state)
        if not state.passed:
            state = _proven(hub, work, state)
    assert state.commit is not None, "it was sent"
    return Published(
        built.repo_id, built.seed, state.commit, state.pr, state.widest, gate.TOLERANCE
    )


class _Work:
    """What is published and how. `hashes`: file -> SHA-256; `files`: fingerprint of all of it."""

    def __init__(self, built: Built, options: Options, place: Path, progress: Progress) -> None:
        self.built = built
        self.options = options
        self.place = place
        self.progress = progress
        self.hashes = {
            file.relative_to(built.folder).as_posix(): artifacts.file_hash(file)
            for file in sorted(built.folder.rglob("*"))
            if file.is_file()
        }
        self.files = artifacts.fingerprint([self.hashes, options.revision, options.pr])


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


def _found(hub: Uploader, work: _Work, state: _State | None) -> _State | None:
    """The state, with the commit that was made although nobody was left to note it."""
    if state is None or state.commit is not None or hub.head(work.options.revision) is None:
        return state
    done = hub.made(state.message, work.options.revision, state.parent, work.options.pr)
    return (
        state if done is None else _write(work.place, replace(state, commit=done.sha, pr=done.pr))
    )


def _send(hub: Uploader, work: _Work, old: _State | None) -> _State:
    built, options = work.built, work.options
    hub.check_card((built.folder / repository.README).read_text(encoding="utf-8"))
    hub.create(options.private)
    head = hub.branch(options.revision)
    others = sorted(set(hub.files(head)) - GIT_FILES)
    if others and OURS not in others and not options.force:
        raise RunError(
            f"{hub.page}: holds something else already ({', '.join(others[:3])}…); take another "
            "name, or overwrite it with --force"
        )
    unproven = old if old is not None and not old.passed else None
    if unproven is not None and unproven.pr is not None:
        hub.close(unproven.pr, "Another one takes its place.")
    # what was never proven is nothing to go back to
    before = unproven.before if unproven is not None and unproven.commit == head else head
    message = f"lowres: adapter, seed {built.seed} ({work.files[:12]})"
    state = _write(work.place, _State(work.files, message, before, head))
    stale = [name for name in others if name not in work.hashes]
    work.progress.say(f"publish: {hub.page}: sending {len(work.hashes)} files in one commit")
    done = hub.commit(built.folder, stale, message, options.revision, head, options.pr)
    return _write(work.place, replace(state, commit=done.sha, pr=done.pr))


def _proven(hub: Uploader, work: _Work, state: _State) -> _State:
    """Download what was sent, load it where lowres is unknown, compare; take it back otherwise."""
    assert state.commit is not None, "it was sent"
    work.progress.say(f"publish: gate: {state.commit[:12]} downloaded again, loaded without lowres")
    with tempfile.TemporaryDirectory(prefix="lowres-gate-") as cache:
        try:
            folder = hub.download(state.commit, Path(cache), work.hashes)
            found = gate.check(folder, Path(work.built.base.path))
        except ReloadError as error:
            faults: tuple[str, ...] = (str(error),)
        else:
            if not found.faults:
                return _write(work.place, replace(state, passed=True, widest=found.widest))
            faults = found.faults
    why = "; ".join(faults[:3]) + ("; …" if len(faults) > 3 else "")
    try:
        undone = _taken_back(hub, work, state, why)
    except HubError as error:
        raise HubError(
            f"publish: {hub.page}: not published: {why}. It is still there: {error}"
        ) from error
    (work.place / STATE).unlink(missing_ok=True)
    raise HubError(f"publish: {hub.page}: not published: {why}. {undone}.")


def _taken_back(hub: Uploader, work: _Work, state: _State, why: str) -> str:
    """What was done, in words."""
    assert state.commit is not None, "it was sent"
    if state.pr is not None:
        hub.close(state.pr, f"It does not reload as it was: {why}")
        return f"Pull request {state.pr} is closed"
    branch = work.options.revision
    hub.restore(branch, state.commit, state.before, f"lowres: taken back {state.commit[:12]}")
    return f"The commit was taken back: {branch} is as it was"


def plain(done: Published) -> dict[str, object]:
    """As JSON."""
    return asdict(done)
