"""What is free, by psutil and by a folder of control groups as the kernel lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from lowres.memory import Memory, here

GB = 2**30


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 GB, 60 of them available."""
    known = SimpleNamespace(total=64 * GB, available=60 * GB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: known)


def found(tmp_path: Path, own: str, files: Mapping[str, str]) -> Memory:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return here(tmp_path / "cgroup", tmp_path / "own")


def v2(limit: object, used: int, inactive: int = 0, at: str = "") -> dict[str, str]:
    stat = f"anon 1\nfile {inactive + 5}\ninactive_file {inactive}\nactive_file 5\n"
    return {
        f"{at}memory.max": f"{limit}\n",
        f"{at}memory.current": f"{used}\n",
        f"{at}memory.stat": stat,
    }


def v1(limit: int, used: int, inactive: int = 0, at: str = "") -> dict[str, str]:
    stat = f"cache 9\ninactive_file 1\ntotal_inactive_file {inactive}\n"
    return {
        f"memory/{at}memory.limit_in_bytes": f"{limit}\n",
        f"memory/{at}memory.usage_in_bytes": f"{used}\n",
        f"memory/{at}memory.stat": stat,
    }


WHOLE = Memory(64 * 1024.0, 60 * 1024.0)
UNLIMITED = 9223372036854771712
"""What version 1 says where there is no limit."""


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, WHOLE),
        ("0::/\n", v2("max", 3 * GB), WHOLE),
        # Docker: the container's own group is the top
        ("0::/\n", v2(8 * GB, 3 * GB), Memory(8192.0, 5120.0)),
        ("0::/docker/abc\n", v2(8 * GB, 3 * GB), Memory(8192.0, 5120.0)),
        # what is kept of files is given up when it is wanted
        ("0::/\n", v2(8 * GB, 3 * GB, inactive=2 * GB), Memory(8192.0, 7168.0)),
        # Slurm: the job's limit stands above the step's
        (
            "0::/job_7/step_0\n",
            {**v2(16 * GB, 6 * GB, at="job_7/"), **v2("max", 6 * GB, at="job_7/step_0/")},
            Memory(16384.0, 10240.0),
        ),
        # a group may be given more than there is
        ("0::/\n", v2(100 * GB, GB), WHOLE),
        # over its limit, for a moment
        ("0::/\n", v2(2 * GB, 3 * GB), Memory(2048.0, 0.0)),
        ("4:memory:/\n1:name=systemd:/\n", v1(8 * GB, 3 * GB, inactive=GB), Memory(8192.0, 6144.0)),
        ("4:cpu,memory:/kube/pod\n", v1(8 * GB, 3 * GB, at="kube/pod/"), Memory(8192.0, 5120.0)),
        ("4:memory:/\n", v1(UNLIMITED, 3 * GB), WHOLE),
        ("4:cpu:/\n", v1(8 * GB, 3 * GB), WHOLE),
        # no number, no limit
        ("0::/\n", v2("many", 3 * GB), WHOLE),
        ("0::/\n", {"memory.max": f"{8 * GB}\n", "memory.current": "0\n"}, Memory(8192.0, 8192.0)),
    ],
)
def test_the_smaller_figure_counts(
    tmp_path: Path, own: str, files: Mapping[str, str], expected: Memory
) -> None:
    assert found(tmp_path, own, files) == expected


def test_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert here(tmp_path, tmp_path / "none") == WHOLE


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    now = here()
    assert 0 < now.free_mb <= now.total_mb
