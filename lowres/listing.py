"""What `lowres ls` lists: rows of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowres import bases, cards, registry
from lowres.errors import LowresError, nearest
from lowres.pipeline import RUNS
from lowres.recipe_loading import load, shipped
from lowres.results import Results

KINDS = ("recipes", "bases", "tasks", "metrics", "baselines", "cards", "runs")


def rows(what: str) -> list[dict[str, Any]]:
    """Rows of one kind. Raises `LowresError` for a kind that there is not."""
    if what not in KINDS:
        raise LowresError(f"cannot list {what!r}{nearest(what, KINDS)} (known: {', '.join(KINDS)})")
    own = {"recipes": _recipes, "bases": _bases, "cards": cards.rows, "runs": _runs}
    return own[what]() if what in own else _plugins(what)


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
            "hub_id": row.hub_id,
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
    # a sweep's runs lie in its folder
    inside = [f for sweep in RUNS.glob("*/sweep.json") for f in sweep.parent.glob("*/recipe.yaml")]
    for folder in sorted([*RUNS.glob("*/recipe.yaml"), *inside]):
        file = folder.parent / "results.json"
        row: dict[str, Any] = {"run": str(folder.parent), "state": "unfinished", "targets": ""}
        if file.is_file():
            row["state"], row["targets"] = _finished(file)
        found.append(row)
    return found


def _finished(file: Path) -> tuple[str, str]:
    """State and averages over the targets of a run that has `results.json`."""
    try:
        results = Results.model_validate_json(file.read_text(encoding="utf-8"))
    except ValueError:  # by hand, or by another version
        return "results.json unreadable", ""
    means = [
        f"{average.metric} {average.mean:.3f}"
        for average in results.averages
        if average.system == "adapter" and average.over == "targets"
    ]
    return "finished", ", ".join(means)
