"""Plug-ins are files: one file in a folder adds one, found by listing the folder."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

PACKAGE_DIR = Path(__file__).parent


@cache
def names(folder: str) -> tuple[str, ...]:
    """Names of the plug-ins in `lowres/<folder>`, sorted; nothing is imported."""
    files = (PACKAGE_DIR / folder).glob("*.py")
    return tuple(sorted(f.stem for f in files if not f.stem.startswith("_")))


@cache
def module(folder: str, name: str) -> ModuleType:
    """Import one plug-in. Raises `KeyError` for a name that `names(folder)` does not list."""
    if name not in names(folder):
        raise KeyError(name)
    return importlib.import_module(f"lowres.{folder}.{name}")
