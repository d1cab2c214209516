"""The publish stage: one commit, downloaded again and proven to answer the same, or taken back.

Every step is noted (`publish_state.py`), so that the same command goes on after whatever ended it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from lowres import artifacts, gate, hub_upload, probe, publish_state, repository
from lowres.errors import HubError, ReloadError, RunError
from lowres.hub_retries import bounded
from lowres.hub_upload import GIT_FILES, Uploader
from lowres.progress import Progress
from lowres.publish_state import State
from lowres.publish_state import held as held
from lowres.recipe_publish import Publish
from lowres.repository import Built

REPOSITORY: Final = "repository"
_SENT: Final = "lowres: adapter, seed "
_BACK: Final = re.compile(r"lowres: taken back [0-9a-f]+, as at ([0-9a-f]+)")
"""Titles of our commits. All of a commit of ours is ours: it replaces whatever was there."""
# what git allows as the name of a branch (git-check-ref-format)
_NO_BRANCH: Final = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|^[-/.]|/\.|[/.]$|\.lock(/|$)|^@$|^refs/|^HEAD$"
    r"|^[0-9a-f]{40}$|^$"
)


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
    """What came of it. `widest`: largest difference of a logit at the gate; `elsewhere`: the same
    over the Hub's base where training had a copy of 4 bits, as in `gate.Elsewhere`."""

    repo_id: str
    seed: int
    commit: str
    pr: int | None
    widest: float
    tolerance: float
    elsewhere: dict[str, Any] | None = None


def prepare(run: Path, repo_id: str, options: Options, section: Publish) -> Built:
    """Build and check the repository's folder; nothing is sent.

    Raises `RunError` as `repository.build` does, `HubError` for an id, a branch or a token that can
    be none.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} is no repository id: {' '.join(str(error).split())}") from None
    if "/" not in repo_id:
        raise HubError(f"{repo_id!r} is no repository id; write it as namespace/name")
    check_branch(options.revision)
    hub_upload.check_token(get_token())
    out = publish_state.folder_of(run, repo_id) / REPOSITORY
    return repository.build(run, repo_id, options.seed, section, out)


def check_branch(name: str) -> None:
    """Raise `HubError` for what can be no branch to commit to."""
    if _NO_BRANCH.search(name):
        raise HubError(
            f"--revision {name!r}: no name of a branch; write it as main, v1 or my-branch, without "
            "spaces, .. or refs/"
        )


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
    _check_base(built)
    work = _Work(built, options, publish_state.folder_of(run, built.repo_id), progress)
    with bounded():
        hub = Uploader(built.repo_id, progress, sleep)
        hub.who()
        if options.private:
            # also where nothing is left to send
            hub.check_private()
        states = publish_state.read(work.place)
        state = states.pop(work.target, None)
        for other in states.values():
            _settle(hub, work, other)
        if state is not None:
            state = _found(hub, work, state)
        if state is None or state.files != work.files or not _stands(hub, work, state):
            state = _send(hub, work, state)
        if not state.passed:
            state = _proven(hub, work, state)
    assert state.commit is not None, "it was sent"
    return Published(
        built.repo_id,
        built.seed,
        state.commit,
        state.pr,
        state.widest,
        gate.TOLERANCE,
        state.elsewhere,
    )


class _Work:
    """What is published and how. `hashes`: file -> SHA-256; `files`: fingerprint of all of it."""

    def __init__(self, built: Built, options: Options, place: Path, progress: Progress) -> None:
        self.built = built
        self.options = options
        self.place = place
        self.progress = progress
        self.target = publish_state.target(options.revision, options.pr)
        self.hashes = {
            file.relative_to(built.folder).as_posix(): artifacts.file_hash(file)
            for file in sorted(built.folder.rglob("*"))
            if file.is_file()
        }
        self.files = artifacts.fingerprint([self.hashes, options.revision, options.pr])


def _check_base(built: Built) -> None:
    if built.base.obtained not in (*repository.FROM_THE_HUB, "folder"):
        raise HubError(
            f"publish: {built.base.name} is here as a copy only ({built.base.obtained}), and the "
            f"gate needs {built.base.hub_id} as others load it: give the same command again when "
            "the Hub gives it"
        )


def _stands(hub: Uploader, work: _Work, state: State) -> bool:
    """Whether what was sent is still what is there."""
    if state.commit is None:
        return False
    if state.pr is not None and hub.is_closed(state.pr):
        work.progress.say(f"publish: {hub.page}: pull request {state.pr} was closed; another one")
        return False
    branch = f"refs/pr/{state.pr}" if state.pr is not None else state.branch
    return hub.head(branch) == state.commit


def _found(hub: Uploader, work: _Work, state: State) -> State:
    """The state, with the commit that was made although nobody was left to note it."""
    if state.commit is not None or hub.head(state.branch) is None:
        return state
    done = hub.made(state.message, state.branch, state.parent, state.asks)
    if done is None:
        return state
    return publish_state.write(work.place, replace(state, commit=done.sha, pr=done.pr))


def _settle(hub: Uploader, work: _Work, state: State) -> None:
    """Take back what an earlier command left unproven on another branch, or as a pull request.

    Its files may not be here any more, so that nobody can prove it now.
    """
    if state.passed:
        return
    state = _found(hub, work, state)
    if state.commit is not None and (
        state.pr is not None or hub.head(state.branch) == state.commit
    ):
        undone = _taken_back(hub, state, "it was never proven to reload")
        work.progress.say(f"publish: {state.commit[:12]} was never proven to reload. {undone}")
    publish_state.forget(work.place, state)


def _send(hub: Uploader, work: _Work, old: State | None) -> State:
    built, options = work.built, work.options
    hub.check_card((built.folder / repository.README).read_text(encoding="utf-8"))
    hub.create(options.private)
    head = hub.branch(options.revision)
    others = sorted(set(hub.files(head)) - GIT_FILES)
    if others and not options.force and not (old is not None and old.commit == head):
        _check_ours(hub, work, head, others)
    unproven = old if old is not None and not old.passed else None
    if unproven is not None and unproven.pr is not None:
        hub.close(unproven.pr, "Another one takes its place.")
    # what was never proven is nothing to go back to
    before = unproven.before if unproven is not None and unproven.commit == head else head
    message = f"{_SENT}{built.seed} ({work.files[:12]})"
    state = publish_state.write(
        work.place, State(work.files, message, options.revision, options.pr, before, head)
    )
    stale = [name for name in others if name not in work.hashes]
    work.progress.say(f"publish: {hub.page}: sending {len(work.hashes)} files in one commit")
    done = hub.commit(built.folder, stale, message, options.revision, head, options.pr)
    return publish_state.write(work.place, replace(state, commit=done.sha, pr=done.pr))


def _check_ours(hub: Uploader, work: _Work, head: str, others: list[str]) -> None:
    """Raise `RunError` unless lowres wrote all that is there, of this very study.

    A `probe.json` alone says little: it is copied with the rest, and the files beside it may be
    somebody's work.
    """
    history = hub.history(head)
    at = _origin(history)
    title = history[at][1] if at < len(history) else ""
    if not title.startswith(_SENT):
        ours = any(one.startswith(_SENT) for _, one in history[at + 1 :])
        what = "holds something else already"
        if ours:
            what = f"was changed after lowres published it ({title!r}), and holds"
        raise RunError(
            f"{hub.page}: {what} ({', '.join(others[:3])}…); take another name, or overwrite it "
            "with --force"
        )
    there = probe.lineage(hub.read(probe.FILE, head) or "")
    here = probe.lineage((work.built.folder / probe.FILE).read_text(encoding="utf-8"))
    if there is None or there != here:
        study, task, _, base = there or ("?", "?", (), "?")
        raise RunError(
            f"{hub.page}: holds another adapter already (study {study}, {task}, over {base}); take "
            "another name, or overwrite it with --force"
        )


def _origin(history: list[tuple[str, str]]) -> int:
    """Where in a history (newest first) the commit is that the files at its top are of."""
    at = 0
    while at < len(history) and (back := _BACK.fullmatch(history[at][1])) is not None:
        # what was taken back left the files of an earlier commit, which may be anybody's
        older = (n for n in range(at + 1, len(history)) if history[n][0].startswith(back[1]))
        at = next(older, len(history))
    return at


def _proven(hub: Uploader, work: _Work, state: State) -> State:
    """Download what was sent, load it where lowres is unknown, compare; take it back otherwise."""
    assert state.commit is not None, "it was sent"
    work.progress.say(f"publish: gate: {state.commit[:12]} downloaded again, loaded without lowres")
    built = work.built
    with tempfile.TemporaryDirectory(prefix="lowres-gate-") as cache:
        try:
            folder = hub.download(state.commit, Path(cache), work.hashes)
            probed = Path(built.probed.path) if built.probed is not None else None
            found = gate.check(folder, Path(built.base.path), probed)
        except ReloadError as error:
            faults: tuple[str, ...] = (str(error),)
        else:
            _tell(work, found)
            if not found.faults:
                elsewhere = asdict(found.elsewhere) if found.elsewhere is not None else None
                passed = replace(state, passed=True, widest=found.widest, elsewhere=elsewhere)
                return publish_state.write(work.place, passed)
            faults = found.faults
    why = "; ".join(faults[:3]) + ("; …" if len(faults) > 3 else "")
    try:
        undone = _taken_back(hub, state, f"it does not reload as it was: {why}")
    except HubError as error:
        raise HubError(
            f"publish: {hub.page}: not published: {why}. It is still there: {error}"
        ) from error
    publish_state.forget(work.place, state)
    raise HubError(f"publish: {hub.page}: not published: {why}. {undone}.")


def _tell(work: _Work, found: gate.Verdict) -> None:
    """What an adapter that was trained over a copy of 4 bits gives over the Hub's own base."""
    own = found.elsewhere
    if own is None:
        return
    work.progress.say(
        f"publish: gate: trained over a copy of {work.built.base.hub_id} "
        f"({work.built.probed.obtained if work.built.probed else '?'}); over the Hub's own a logit "
        f"differs by {own.widest:.2g}, at most {own.tolerance:g} is allowed; {own.agreeing} of "
        f"{own.answers} labels are the same, {own.near_ties} were near-ties"
    )


def _taken_back(hub: Uploader, state: State, why: str) -> str:
    """What was done, in words."""
    assert state.commit is not None, "it was sent"
    if state.pr is not None:
        hub.close(state.pr, f"Closed by lowres: {why}")
        return f"Pull request {state.pr} is closed"
    title = f"lowres: taken back {state.commit[:12]}, as at {state.before[:12]}"
    hub.restore(state.branch, state.commit, state.before, title)
    return f"The commit was taken back: {state.branch} is as it was"


def plain(done: Published) -> dict[str, object]:
    """As JSON."""
    return asdict(done)
