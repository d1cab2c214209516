"""How long `lowres publish` takes with its gate, through the tests' Hub on loopback.

    lowres run quickstart
    python benchmarks/publish_time.py runs/quickstart-<hash>

The Hub holds e5-small as it is rebuilt here; a run over another base is refused. Each time is of a
process of its own: the first builds, sends and proves, the second has nothing left to do. The run
is copied, and nothing of it changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hub_cases import TOKEN, hub_of_two_users

from lowres import bases

NAME = "ada/timed"


def main() -> None:
    """Publish twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    base = bases.locate("e5-small")
    files = {path.name: path.read_bytes() for path in Path(base.path).iterdir() if path.is_file()}
    with tempfile.TemporaryDirectory() as work, hub_of_two_users() as hub:
        run = Path(work) / "run"
        shutil.copytree(given.run, run, ignore=shutil.ignore_patterns("publish"))
        hub.add(str(base.hub_id), files, kind="models")
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(Path(work) / "cache"),
        }
        words = ["publish", str(run), NAME, "--license", "cc-by-sa-4.0"]
        for what in ("with its gate", "again"):
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "lowres", *words],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.exit(done.stderr)
            print(f"{what}: {time.monotonic() - start:.1f} s; {done.stdout.strip()}", flush=True)
        assert hub.faults == [], hub.faults


if __name__ == "__main__":
    main()
