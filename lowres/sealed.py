"""What is computed once and kept in files: taken while it is whole, made again where it is not.

A seal lies beside the files and is written last: without one they are half made. It holds their
sizes and checksums, and what they were made for.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lowres import artifacts

_CHUNK: Final = 2**22


def seal(at: Path, files: Sequence[Path], about: Any = None) -> None:
    """Say in a file `at` that the files beside it are whole, and what they are about (plain data).

    Raises `RunError` on a full disk.
    """
    found = {file.name: [file.stat().st_size, _checksum(file)] for file in files}
    artifacts.write_text(at, json.dumps({"about": about, "files": found}) + "\n")


def holds(at: Path, about: Any = None) -> bool:
    """Whether there is a seal, about the same, and its files are what they were."""
    try:
        found = json.loads(at.read_text(encoding="utf-8"))
        same = json.dumps(found["about"], sort_keys=True) == json.dumps(about, sort_keys=True)
        # sizes first: they cost nothing
        files = {at.with_name(name): tuple(known) for name, known in found["files"].items()}
        whole = all(file.stat().st_size == size for file, (size, _) in files.items())
        return same and whole and all(_checksum(file) == crc for file, (_, crc) in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def broken(at: Path, what: str, say: Callable[[str], None], about: Any = None) -> bool:
    """Whether the files have to be made: there is no seal, or it holds no longer, which is said.

    Args:
        at: the seal.
        what: of the files' content, for a reader: `token ids`.
        say: is told of damage.
        about: as in `seal`.
    """
    if holds(at, about):
        return False
    if at.exists():
        say(f"{at.parent / at.stem}: damaged; the {what} are computed again")
        at.unlink()
    return True


def _checksum(file: Path) -> int:
    found = 0
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found
