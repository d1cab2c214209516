"""The page on several GPUs: its commands are run, on two processes of this machine's processor."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys

import pytest
from test_docs_commands import ROOT, Reader, lines, reader, work

from lowres import training_arguments
from lowres.errors import DeviceError

__all__ = ["reader", "work"]

PAGE = ROOT / "docs" / "how-to" / "several-gpus.md"


def launched(reader: Reader, line: str, *brief: str) -> None:
    """A line of `accelerate launch`, with what makes it take seconds; the last override counts."""
    launcher, command = line.split(" -m lowres ")
    words = shlex.split(launcher.replace("--num_processes 4", "--num_processes 2"))
    assert words[:2] == ["accelerate", "launch"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    small = [*reader.small("quickstart"), *brief]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", *words[2:]),
            *("--main_process_port", port, "-m", "lowres", *shlex.split(command), *small),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    # a random base may collapse in a few steps: status 3, of which the launcher makes 1
    assert done.returncode in (0, 1), done.stderr[-3000:]


@pytest.mark.slow
def test_several_processes_train_as_the_page_says(reader: Reader) -> None:
    several, beside, alone, compare = lines(PAGE)
    launched(reader, several, "train.steps=8")
    (folder,) = reader.folder.glob("runs/quickstart-*")
    assert (folder / "results.json").is_file()
    launched(reader, beside)
    reader.shell(alone)
    reader.shell(compare)
    assert len(reader.done) == 2
    told = []
    for name in ("one", "two"):
        found = json.loads((reader.folder / f"runs/{name}/results.json").read_text("utf-8"))
        told.append([(s["system"], s["language"], s["metric"], s["n"]) for s in found["scores"]])
    assert told[0] == told[1]
    files = [
        sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())
        for top in (reader.folder / "runs" / "one", reader.folder / "runs" / "two")
    ]
    assert files[0] == files[1]


def test_a_batch_that_does_not_divide_is_refused_in_the_pages_words() -> None:
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    with pytest.raises(DeviceError) as refused:
        training_arguments.split_batch(16, None, 3)
    assert f"`{refused.value}`" in said
