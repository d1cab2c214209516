"""Adapt multilingual encoders to underserved languages, and measure the transfer honestly.

    recipe = lowres.Recipe.load("quickstart")
    run = lowres.run(recipe, on_event=print)
    run.load().predict(["a text"])

Nothing is imported before a name is asked for: `import lowres` costs nothing, and each module says
what it needs.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final

__version__ = "0.1.0"
__all__ = [
    "LowResClassifier",
    "LowResTagger",
    "Recipe",
    "Run",
    "__version__",
    "diagnose",
    "extend",
    "load",
    "run",
    "suggest",
]

if TYPE_CHECKING:
    from lowres.advisor import suggest
    from lowres.api import Recipe, Run, diagnose, extend, run
    from lowres.estimators import LowResClassifier, LowResTagger
    from lowres.predict import load
else:
    _HOMES: Final = {
        "LowResClassifier": "estimators",
        "LowResTagger": "estimators",
        "Recipe": "api",
        "Run": "api",
        "diagnose": "api",
        "extend": "api",
        "load": "predict",
        "run": "api",
        "suggest": "advisor",
    }

    class _Package(ModuleType):
        """`lowres.extend` and `lowres.diagnose` are functions, and there are modules of that name.

        Python sets a module as an attribute of its package whenever it is imported; here such a
        name stays the function. What is in the module is had by `from lowres.extend import …`.
        """

        def __setattr__(self, name: str, value: object) -> None:
            if name not in _HOMES or not isinstance(value, ModuleType):
                super().__setattr__(name, value)

    sys.modules[__name__].__class__ = _Package

    def __getattr__(name: str) -> object:
        """A name of the table, imported when it is first asked for: torch comes with some."""
        if name in _HOMES:
            # not an import statement: modules import this one for its version
            return getattr(importlib.import_module(f"lowres.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'lowres' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
