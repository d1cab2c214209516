"""What was sent where, and whether it was proven: noted at every step, so that the same command
goes on after whatever ended it.

One file a repository, `publish/<repository>/state.json` of the run, with one entry a target: a
branch, or a pull request to it. Whoever publishes elsewhere next still sees what was left unproven.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from lowres import artifacts, embedded
from lowres.errors import RunError

FILE: Final = "state.json"
_LOCK: Final = ".lock"


@dataclass(frozen=True)
class State:
    """What was sent, or was about to be when `commit` is None.

    `files`: its fingerprint. `branch`: which it went to, or `pr` asks to pull it into. `before`:
    the branch's last commit that nobody has to take back; `parent`: the one that it was sent upon,
    which may be another that was never proven. `elsewhere`: as in `gate.Verdict`.
    """

    files: str
    message: str
    branch: str
    asks: bool
    before: str
    parent: str
    commit: str | None = None
    pr: int | None = None
    passed: bool = False
    widest: float = 0.0
    elsewhere: dict[str, Any] | None = None

    @property
    def target(self) -> str:
        """The key of its entry."""
        return target(self.branch, self.asks)


def target(branch: str, pr: bool) -> str:
    """The name of where something is sent."""
    return f"pull request to {branch}" if pr else branch


def folder_of(run: Path, repo_id: str) -> Path:
    """Where a run keeps what it publishes as this repository."""
    return run / "publish" / repo_id.replace("/", "--")


def read(place: Path) -> dict[str, State]:
    """Target -> state; none where nothing was noted, or it cannot be read."""
    try:
        plain = json.loads((place / FILE).read_text(encoding="utf-8"))
        return {name: State(**state) for name, state in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write(place: Path, state: State) -> State:
    """Note a state, and leave those of other targets as they are."""
    _save(place, read(place) | {state.target: state})
    return state


def forget(place: Path, state: State) -> None:
    """Drop what was noted of a target."""
    _save(place, {name: one for name, one in read(place).items() if name != state.target})


def _save(place: Path, states: dict[str, State]) -> None:
    plain = {name: asdict(state) for name, state in states.items()}
    artifacts.write_text(place / FILE, json.dumps(plain, indent=1))


@contextmanager
def held(run: Path, repo_id: str) -> Iterator[None]:
    """Keep others on this machine from publishing this run, or as this repository, meanwhile.

    The system lets go of the locks whatever ends the process. Raises `RunError` where somebody has
    one.
    """
    if not run.is_dir():
        # whoever reads the run says so better, and nothing is made for a name that is none
        yield
        return
    from huggingface_hub import constants

    # a repository of that name on another Hub is another one
    name = artifacts.fingerprint([constants.ENDPOINT, repo_id])
    places = {
        f"the run {run}": run / "publish" / _LOCK,
        f"something as {repo_id}": embedded.cache_folder() / "publish" / f"{name}.lock",
    }
    with ExitStack() as stack:
        for what, file in places.items():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(file, timeout=0))
            except Timeout:
                raise RunError(
                    f"publish: another process publishes {what} now; wait for it, then give the "
                    "same command again"
                ) from None
            except OSError as error:
                raise artifacts.disk_error(error, file) from error
        yield
