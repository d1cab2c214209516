"""What every benchmark prints: a table for people, or with `--json` the same for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def row(name: str, unit: str, lowres: float | None, peer: float | None) -> dict[str, Any]:
    """A figure of both sides; None where a side has none."""
    ratio = round(lowres / peer, 3) if lowres is not None and peer else None
    return {"name": name, "unit": unit, "lowres": lowres, "peer": peer, "ratio": ratio}


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def processor() -> str:
    """The processor's name, as Linux knows it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def show(rows: Sequence[dict[str, Any]], as_json: bool, sides: tuple[str, str]) -> None:
    """Print the rows, as Markdown or as JSON.

    Args:
        rows: as `row` makes them.
        as_json: print `{"machine": ..., "rows": [...]}`.
        sides: what the two columns are called in Markdown.
    """
    if as_json:
        print(json.dumps({"machine": machine(), "rows": list(rows)}, indent=1))
        return
    print(f"| | {sides[0]} | {sides[1]} | ratio |\n|---|---:|---:|---:|")
    for one in rows:
        cells = [_cell(one[key]) for key in ("lowres", "peer", "ratio")]
        print(f"| {one['name']}, {one['unit']} | " + " | ".join(cells) + " |")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
