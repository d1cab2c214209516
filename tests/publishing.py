"""Publishing to the Hub of the tests, and what must hold of its repositories whatever happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tiny_run
from hub_cases import contents
from hub_server import Hub

from lowres import probe, publish
from lowres.errors import LowresError
from lowres.gate import Verdict
from lowres.progress import Silent
from lowres.publish import Options, Published
from lowres.repository import Built

PASSED = Verdict((), 1e-7, 1e-5, 16)
FAILED = Verdict(("probe 3: a logit differs by 0.4",), 0.4, 1e-5, 16)


@dataclass
class Attempt:
    """One `lowres publish`: what came of it, the lines that were said, the seconds waited."""

    done: Published | None = None
    error: LowresError | None = None
    said: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


class Listening(Silent):
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def say(self, line: str) -> None:
        self.lines.append(line)


def attempt(built: Built, options: Options | None = None) -> Attempt:
    """Publish without waiting; errors of ours are kept, of one line each, others are bugs."""
    made = Attempt()
    run = built.folder.parents[2]
    try:
        made.done = publish.publish(
            run, built, options or Options(), Listening(made.said), made.waited.append
        )
    except LowresError as error:
        made.error = error
    assert "\n" not in str(made.error)
    return made


def published(built: Built, options: Options | None = None) -> Published:
    made = attempt(built, options)
    assert made.done is not None, made.error
    return made.done


def refused(built: Built, options: Options | None = None) -> str:
    made = attempt(built, options)
    assert made.error is not None
    return str(made.error)


def holds(hub: Hub, built: Built, revision: str = "main") -> bool:
    """Whether a revision holds the folder, and nothing but it."""
    return tiny_run.without_git(hub.files(built.repo_id, revision)) == contents(built.folder)


def states(hub: Hub, name: str, branch: str = "main") -> list[set[str]]:
    """The names of the files of every state that a branch was ever in, oldest first."""
    repository = hub.repositories[name]
    history = repository.history(repository.revisions[branch])
    return [set(tiny_run.without_git(repository.commits[commit])) for commit in history][::-1]


def whole(hub: Hub, built: Built) -> bool:
    """Whether main was never in a state but empty and whole."""
    if built.repo_id not in hub.repositories:
        return True
    files = set(contents(built.folder))
    return all(state in (set(), files) for state in states(hub, built.repo_id))


def fresh(folder: Path, base: Path, name: str = "ada/topics") -> Built:
    """A run's folder to send, where publishing keeps it."""
    place = folder / "run" / "publish" / name.replace("/", "--")
    made = tiny_run.built(place / "repository", base, name)
    of_study(made, "topics")
    return made


def of_study(built: Built, study: str) -> None:
    """Let its `probe.json` say of which study it is."""
    adapter = {"study": study, "task": "classification", "labels": ["a", "b"]}
    probe.write(built.folder / probe.FILE, [], {"id": "ada/base"}, adapter)
