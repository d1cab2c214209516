"""A process in which publishing is killed, as by `kill -9`, between any two of its steps.

    python publishing_killed.py FOLDER BASE

It forks for each attempt, so that all of them share one import of what is slow to import, and
prints what came of each as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from publishing import FAILED, PASSED, Attempt, attempt, fresh

from lowres import gate, hub_upload, publish

# moment -> (who, of which attribute, before or after it, whether the gate finds other answers,
#            commits of both attempts together)
MOMENTS: dict[str, tuple[str, str, str, bool, int]] = {
    "before the repository is made": ("uploader", "create", "before", False, 1),
    "when the repository is made": ("uploader", "create", "after", False, 1),
    "before weights are sent": ("uploader", "commit", "before", False, 1),
    "between weights and commit": ("client", "_send_commit", "before", False, 1),
    "when it is committed": ("uploader", "commit", "after", False, 1),
    "before the download": ("uploader", "download", "before", False, 1),
    "in the download": ("uploader", "_fetched", "after", False, 1),
    "before the gate": ("gate", "check", "before", False, 1),
    "when the gate has passed": ("gate", "check", "after", False, 1),
    "when the gate has refused": ("gate", "check", "after", True, 1),
    "when it is taken back": ("uploader", "restore", "after", True, 3),
    "when that is noted": ("publish", "_taken_back", "after", True, 3),
}


def kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(moment: str) -> None:
    from huggingface_hub import _commit_api

    owners = {
        "uploader": hub_upload.Uploader,
        "client": _commit_api,
        "gate": gate,
        "publish": publish,
    }
    name, attribute, when, _, _ = MOMENTS[moment]
    owner = owners[name]
    real = getattr(owner, attribute)

    def after(*known: Any, **named: Any) -> Any:
        real(*known, **named)
        return kill()

    setattr(owner, attribute, after if when == "after" else kill)


def child(work: Callable[[], Attempt], out: Path) -> bool:
    """Whether a fork that did the work was killed; else `out` holds what came of it."""
    process = os.fork()
    if process == 0:
        try:
            made = work()
            plain = {"error": str(made.error) if made.error else None, "said": made.said}
            out.write_text(json.dumps(plain), encoding="utf-8")
        except BaseException:
            traceback.print_exc()
        finally:
            # or the child goes on with what is the parent's
            os._exit(0)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def both(moment: str, folder: Path, base: Path, number: int) -> dict[str, Any]:
    *_, refused, commits = MOMENTS[moment]
    repo_id = f"ada/killed-{number}"
    built = fresh(folder, base, repo_id)

    def first() -> Attempt:
        gate.check = lambda *_: FAILED if refused else PASSED
        killed_at(moment)
        return attempt(built)

    def second() -> Attempt:
        gate.check = lambda *_: PASSED
        return attempt(built)

    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "out.json"
        killed = child(first, out)
        assert not child(second, out), "nobody kills the second"
        found = json.loads(out.read_text(encoding="utf-8"))
    sent = any("sending" in line for line in found["said"])
    again = "all of it sent" if sent else "nothing sent again"
    return {
        **found,
        "killed": killed,
        "repo_id": repo_id,
        "commits": commits,
        "again": again,
        "folder": str(built.folder),
    }


if __name__ == "__main__":
    given, encoder = Path(sys.argv[1]), Path(sys.argv[2])
    outcomes = {m: both(m, given, encoder, n) for n, m in enumerate(MOMENTS)}
    print(json.dumps(outcomes))
