"""What takes hours is measured cell by cell: a file of cells that several processes add to.

A script asks what the file holds, measures what is missing and adds each cell as soon as it is
there, so that one that is stopped goes on, and two that share the work lose nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def read(file: Path) -> dict[str, Any]:
    """What was measured, by name; nothing where there is no file."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def show(file: Path, table: Callable[[dict[str, Any]], list[str]]) -> None:
    """Print what the file holds as a table, with minus signs where figures are below nought."""
    print("\n".join(re.sub(r"(?<![\w-])-(?=\d)", "−", line) for line in table(read(file))))


def keep(file: Path, cells: Mapping[str, Any]) -> None:
    """Add cells to the file, whoever else does at this moment; never half of them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock, partial = file.with_suffix(".lock"), file.with_suffix(f".{os.getpid()}.partial")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        every = {**read(file), **cells}
        partial.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(file)
