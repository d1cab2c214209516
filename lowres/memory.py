"""What of this machine's memory a process may take: the system's figure, or its container's.

Docker, Slurm and Kubernetes limit a process by control groups, of which psutil knows nothing: it
shows the memory of the whole machine. Version 1 and 2 by the kernel's documentation
(Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MB: Final = 2**20
GROUPS: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
"""Which groups this process is in."""


@dataclass(frozen=True)
class Memory:
    """Of a processor, in MB."""

    total_mb: float
    free_mb: float
    """What can be had without swapping; what the system keeps of files counts as free."""


def here(groups: Path = GROUPS, own: Path = OWN) -> Memory:
    """The smaller of what the system has and what the control groups of this process leave.

    Args:
        groups: where control groups are mounted.
        own: the file that names those of this process.
    """
    import psutil

    system = psutil.virtual_memory()
    total, free = float(system.total), float(system.available)
    for limit, left in _limits(groups, own):
        total, free = min(total, limit), min(free, left)
    return Memory(total / MB, max(0.0, free) / MB)


def _limits(groups: Path, own: Path) -> Iterator[tuple[float, float]]:
    """(limit, what is left of it) in bytes, of each group around this process that has one."""
    for folder, (limit_file, used_file, cache) in _folders(groups, own):
        try:
            said = (folder / limit_file).read_text(encoding="ascii").strip()
            used = int((folder / used_file).read_text(encoding="ascii"))
            if said == "max":
                continue
            limit = int(said)
        except (OSError, ValueError):  # the root has no such files
            continue
        yield limit, limit - used + _reclaimable(folder / "memory.stat", cache)


_V2: Final = ("memory.max", "memory.current", "inactive_file")
_V1: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _folders(groups: Path, own: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Every folder from the process's group up to the top: each one's limit holds."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = groups, _V2
        elif "memory" in controllers.split(","):
            top, names = groups / "memory", _V1
        else:
            continue
        inside = Path(path.lstrip("/"))
        # in a container its own group is mounted as the top, whatever its path is outside
        for part in dict.fromkeys((inside, *inside.parents, Path())):
            yield top / part, names


def _reclaimable(stat: Path, name: str) -> int:
    """Bytes of files that were not used lately, which the system gives up first."""
    try:
        rows = [line.split() for line in stat.read_text(encoding="ascii").splitlines()]
        return next((int(row[1]) for row in rows if row[0] == name), 0)
    except (OSError, ValueError, IndexError):
        return 0
