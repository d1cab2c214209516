"""Adapt multilingual encoders to underserved languages, and measure the transfer honestly.

`lowres.load("namespace/name").predict(["a text"])` uses an adapter. Nothing is imported before
that: `import lowres` costs nothing, and each module says what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from lowres.predict import load
else:

    def __getattr__(name: str) -> object:
        """`load`, imported when it is first asked for: torch comes with it."""
        if name == "load":
            # not an import statement: modules import this one for its version
            return importlib.import_module("lowres.predict").load
        raise AttributeError(f"module 'lowres' has no attribute {name!r}")
