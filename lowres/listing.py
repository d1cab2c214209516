"""What `lowres ls` lists: rows of plain values."""

from __future__ import annotations

import json
from typing import Any

from lowres import bases, registry
from lowres.errors import LowresError, nearest
from lowres.pipeline import RUNS
from lowres.recipe_loading import load, shipped


def rows(what: str) -> list[dict[str, Any]]:
    """Rows of one kind. Raises `LowresError` for a kind that there is not."""
    kinds = {
        "recipes": _recipes,
        "bases": _bases,
        "tasks": lambda: _plugins("tasks"),
        "metrics": lambda: _plugins("metrics"),
        "baselines": lambda: _plugins("baselines"),
        "runs": _runs,
    }
    if what not in kinds:
        raise LowresError(
            f"cannot list {what!r}{nearest(what, list(kinds))} (known: {', '.join(kinds)})"
        )
    return kinds[what]()


def _recipes() -> list[dict[str, Any]]:
    found = []
    for name, path in shipped().items():
        recipe = load(str(path))
        found.append(
            {
                "name": name,
                "task": recipe.task.name,
                "source": ", ".join(recipe.languages.source),
                "targets": len(recipe.languages.targets),
                "base": recipe.base.name,
            }
        )
    return found


def _bases() -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "Hub id": row.hub_id,
            "architecture": row.architecture,
            "licence": row.licence,
            "offline": "yes" if row.offline else "no",
        }
        for row in bases.ROWS.values()
    ]


def _plugins(folder: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "about": (registry.module(folder, name).__doc__ or "").strip().splitlines()[0],
        }
        for name in registry.names(folder)
    ]


def _runs() -> list[dict[str, Any]]:
    found = []
    for folder in sorted(RUNS.glob("*/recipe.yaml")):
        file = folder.parent / "results.json"
        row: dict[str, Any] = {"run": str(folder.parent), "state": "unfinished", "targets": ""}
        if file.is_file():
            results = json.loads(file.read_text(encoding="utf-8"))
            row["state"] = "finished"
            means = [
                f"{a['metric']} {a['mean']:.3f}"
                for a in results["averages"]
                if a["system"] == "adapter" and a["over"] == "targets"
            ]
            row["targets"] = ", ".join(means)
        found.append(row)
    return found
