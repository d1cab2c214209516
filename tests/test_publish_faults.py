"""What goes wrong while an adapter is published, what the user sees, and what the next try does.

`docs/reference/publish-faults.md` is what these tests saw: `pytest --regenerate-goldens` writes it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub_cases import EXPIRED, READER, STRANGER, TOKEN, asked, hub_of_two_users
from hub_client import point_client_at
from hub_server import Hub
from publishing import FAILED, PASSED, Attempt, attempt, fresh, holds, whole
from publishing_killed import MOMENTS

from lowres import gate, hub_retries

# The client itself uploads with what httpx2 says is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

ALWAYS = 99
COMMIT, WEIGHTS, TREE = r"/commit/main", "_lfs/", r"api/models/ada/topics/tree"
DOWNLOAD = r"resolve/.*\.safetensors"


@dataclass(frozen=True)
class Fault:
    """`inject`: kind, method, path, options. `survives`: the first attempt publishes all the same.

    `says`: of the error otherwise, `waits`: what is waited between tries.
    """

    name: str
    inject: tuple[Any, ...] = ()
    survives: bool = True
    says: str = ""
    waits: tuple[float, ...] | None = None
    token: str = TOKEN
    times: int = 1
    options: tuple[tuple[str, Any], ...] = ()
    gate: Any = PASSED
    mend: Callable[[Hub], None] = lambda hub: None
    mended: str = ""


def drop_objects(hub: Hub) -> None:
    hub.repositories["ada/topics"].objects.clear()


SPOILT = "once the Hub had dropped the spoilt file"
FAULTS = [
    Fault(
        "HTTP 429 with Retry-After: 7",
        ("429", "POST", "repos/create"),
        options=(("retry_after", 7),),
        waits=(7,),
    ),
    Fault(
        "HTTP 429 for a file of weights",
        ("429", "PUT", WEIGHTS),
        options=(("retry_after", 7),),
        waits=(),
    ),
    Fault(
        "HTTP 429 again and again",
        ("429", "POST", COMMIT),
        survives=False,
        times=ALWAYS,
        says="too many requests",
    ),
    Fault("HTTP 500 for the commit, twice", ("500", "POST", COMMIT), times=2, waits=(1, 2)),
    Fault("HTTP 502 for the list of files", ("502", "POST", "preupload"), waits=()),
    Fault("HTTP 503 in the download", ("503", "GET", TREE), times=2),
    Fault(
        "HTTP 500 again and again",
        ("500", "POST", "preupload"),
        survives=False,
        times=ALWAYS,
        says="HTTP 500: give the same command again",
    ),
    Fault("connection cut in the upload of weights", ("cut-upload", "PUT", WEIGHTS), waits=()),
    Fault("connection cut in the commit", ("cut-upload", "POST", COMMIT), waits=(1,)),
    Fault(
        "connection cut in every upload",
        ("cut-upload", "PUT", WEIGHTS),
        survives=False,
        times=ALWAYS,
        says="commit: the connection broke; give the same command again later",
    ),
    Fault("connection cut in the download", ("cut-download", "GET", DOWNLOAD), times=2, waits=()),
    Fault(
        "connection reset in the download",
        ("cut-download", "GET", DOWNLOAD),
        options=(("reset", True),),
    ),
    Fault("no answer in time to the commit", ("timeout", "POST", COMMIT), waits=(1,)),
    Fault(
        "never an answer in time",
        ("timeout", "GET", "whoami"),
        survives=False,
        times=ALWAYS,
        says="whoami: no answer in time",
    ),
    Fault(
        "weights stored with another hash",
        ("wrong-hash", "PUT", WEIGHTS),
        survives=False,
        says="safetensors came back with other bytes. The commit was taken back",
        mend=drop_objects,
        mended=SPOILT,
    ),
    Fault("weights downloaded with another hash, once", ("wrong-hash", "GET", DOWNLOAD)),
    Fault(
        "weights stored truncated",
        ("truncated", "PUT", WEIGHTS),
        survives=False,
        says="safetensors came back with other bytes. The commit was taken back",
        mend=drop_objects,
        mended=SPOILT,
    ),
    Fault("weights downloaded truncated, once", ("truncated", "GET", DOWNLOAD)),
    Fault("a token that is expired", survives=False, token=EXPIRED, says="expired or wrong"),
    Fault(
        "a token that expires before the commit",
        ("401", "POST", COMMIT),
        survives=False,
        says="the token is expired or wrong",
    ),
    Fault(
        "a token that expires before the download",
        ("401", "GET", TREE),
        survives=False,
        times=2,
        says="the token is expired or wrong",
    ),
    Fault("a token that may read only", survives=False, token=READER, says="may read only"),
    Fault("a token of somebody else", survives=False, token=STRANGER, says="may not write to ada/"),
    Fault(
        "no write access to the repository",
        ("403", "POST", COMMIT),
        survives=False,
        says="this token may not write",
    ),
    Fault(
        "storage is full",
        ("403", "POST", COMMIT),
        survives=False,
        says="the Hub says: Private repository storage limit reached; this token may not write",
        options=(("message", "Private repository storage limit reached"),),
    ),
    Fault(
        "the Hub refuses what is sent",
        ("422", "POST", COMMIT),
        survives=False,
        says="HTTP 422: the Hub says: Unprocessable; repeating it will not help",
    ),
    Fault(
        "the Hub finds it too large",
        ("413", "POST", "preupload"),
        survives=False,
        says="HTTP 413: the Hub says: The commit is too large",
    ),
    Fault(
        "the name is taken",
        ("409", "POST", "repos/create"),
        survives=False,
        says="no revision main that this token sees",
    ),
    Fault(
        "somebody else commits meanwhile",
        ("412", "POST", COMMIT),
        survives=False,
        says="somebody else committed meanwhile",
    ),
    Fault("the answer to the commit is lost", ("lost", "POST", COMMIT), waits=(1,)),
    Fault("the answer to the new repository is lost", ("lost", "POST", "repos/create")),
    Fault(
        "the Hub is gone between commit and gate",
        ("gone", "GET", TREE),
        survives=False,
        says="download: no connection",
    ),
    Fault(
        "the Hub is gone before the commit",
        ("gone", "POST", COMMIT),
        survives=False,
        says="commit: no connection",
    ),
    Fault("other answers at the gate", survives=False, gate=FAILED, says="a logit differs by 0.4"),
    Fault(
        "other answers at the gate, and the Hub gone then",
        ("gone", "GET", r"tree"),
        survives=False,
        gate=FAILED,
        says="It is still there",
    ),
]
BY_NAME = {fault.name: fault for fault in FAULTS}


@dataclass
class Seen:
    """Both attempts of a fault, and what was true after each."""

    first: Attempt
    second: Attempt
    whole: bool
    commits: int
    fired: int
    faults: list[str]


def seen(fault: Fault, folder: Path, base: Path) -> Seen:
    with pytest.MonkeyPatch.context() as patched, hub_of_two_users() as hub:
        point_client_at(hub, patched, folder / "cache")
        patched.setattr(hub_retries, "TIMEOUT_S", 0.3)
        patched.setattr(gate, "check", lambda *_: fault.gate)
        patched.setenv("HF_TOKEN", fault.token)
        built = fresh(folder, base)
        injected = None
        if fault.inject:
            kind, method, path = fault.inject
            # the first two listings are before the commit, the next are of the download
            after = 1 if path == TREE else 2 if path == "tree" else 0
            injected = hub.inject(
                kind, method, path, times=fault.times, after=after, **dict(fault.options)
            )
        first = attempt(built)
        survived = whole(hub, built)
        hub.injections.clear()
        hub.revive()
        fault.mend(hub)
        patched.setenv("HF_TOKEN", TOKEN)
        patched.setattr(gate, "check", lambda *_: PASSED)
        second = attempt(built)
        assert holds(hub, built)
        return Seen(
            first,
            second,
            survived and whole(hub, built),
            len(asked(hub, "POST api/models/ada/topics/commit/")),
            injected.fired if injected else 1,
            list(hub.faults),
        )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, tiny_base) -> Callable[[str], Seen]:
    """What became of a fault, tried out once."""
    known: dict[str, Seen] = {}

    def of(name: str) -> Seen:
        if name not in known:
            known[name] = seen(BY_NAME[name], tmp_path_factory.mktemp("fault"), tiny_base)
        return known[name]

    return of


@pytest.mark.parametrize("name", BY_NAME)
def test_survived_or_reported_and_done_the_second_time(outcomes, name):
    fault, found = BY_NAME[name], outcomes(name)
    assert found.fired >= 1
    assert found.faults == []
    assert (found.first.done is not None) == fault.survives, found.first.error
    assert fault.says in str(found.first.error)
    assert found.whole
    assert found.second.done is not None, found.second.error
    if fault.waits is not None:
        assert tuple(found.first.waited) == fault.waits


def test_what_was_done_is_not_done_again(outcomes):
    assert outcomes("the answer to the commit is lost").commits == 1
    assert outcomes("the Hub is gone between commit and gate").commits == 1
    assert outcomes("HTTP 429 with Retry-After: 7").commits == 1


@pytest.fixture(scope="module")
def killed(tmp_path_factory, tiny_base) -> Iterator[dict[str, Any]]:
    """moment -> what the second attempt said, after the first was killed there."""
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("publishing_killed.py")
    with hub_of_two_users() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(folder / "home"),
        }
        done = subprocess.run(
            [sys.executable, str(script), str(folder), str(tiny_base)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        found["hub"] = hub
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_between_any_two_steps(killed, moment):
    from lowres import bases
    from lowres.repository import Built

    entry, hub = killed[moment], killed["hub"]
    assert entry["killed"]
    assert entry["error"] is None, entry["error"]
    built = Built(
        Path(entry["folder"]), entry["repo_id"], 1, bases.LocatedBase("", "", None, None, ""), ()
    )
    assert holds(hub, built)
    assert whole(hub, built)
    assert hub.faults == []
    # what was committed is not committed again, unless it was taken back
    commits = asked(hub, f"POST api/models/{entry['repo_id']}/commit/")
    assert len(commits) == entry["commits"]


HEAD = """# When publishing meets a fault

What `lowres publish` does when something goes wrong. Each row was made to happen by a test
(`tests/test_publish_faults.py`) against a Hub on this machine, with the real client of the Hub; the
words are those that the user saw. `main` was never in a state but "as before" and "all of it, in
one commit".

| fault | the first attempt | what the user sees | the same command again |
|---|---|---|---|
"""


def shown(text: str) -> str:
    """Without what is another in every run: address, commits, names of temporary folders."""
    text = re.sub(r"http://127\.0\.0\.1:\d+", "https://hub", text.replace("|", r"\|"))
    return re.sub(r"\b[0-9a-f]{12,40}\b", "1a2b3c4d5e6f", text)


def row(name: str, found: Seen) -> str:
    fault, first = BY_NAME[name], found.first
    lines = [line for line in first.said if "once more" in line]
    said = [f"`{shown(line)}`" for line in dict.fromkeys(lines)]
    if first.error is not None:
        said = [*said[:2], *(["…"] if len(said) > 2 else []), f"`{shown(str(first.error))}`"]
    if first.done is not None:
        came = "published"
    elif "taken back" in str(first.error):
        came = "taken back"
    else:
        came = "stopped"
    again = "published" if first.done is None else "nothing to do"
    return (
        f"| {name} | {came} | {'<br>'.join(said) or 'nothing: the client tries again by itself'} "
        f"| {again}{', ' + fault.mended if fault.mended else ''} |\n"
    )


@pytest.mark.slow
def test_the_table_of_faults(outcomes, killed, golden):
    rows = [row(name, outcomes(name)) for name in BY_NAME]
    rows += [
        f"| SIGKILL {moment} | killed | nothing | published, with {killed[moment]['again']} |\n"
        for moment in MOMENTS
    ]
    golden("docs/reference/publish-faults.md", HEAD + "".join(rows))
