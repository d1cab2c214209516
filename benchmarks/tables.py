"""What every benchmark prints: a table for people, or with `--json` the same for machines."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data")).resolve()
FIGURES = ("lowres", "peer", "ratio")
KEYS = ("name", "unit", *FIGURES)
"""Of a row; a row of several measurements has `lowres_range` and `peer_range` beside them."""
ONCE = "measured once a side: how far another run would be from it is not known"
"""A note for tables that are so."""


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; `doc` is its docstring."""
    summary, _, rest = (doc or "").partition("\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=summary, epilog=rest, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="within a minute, for a first look")
    parser.add_argument("--json", action="store_true", help="the table for machines")
    return parser


def data(*sets: str) -> Path:
    """The folder of the data sets; ends the benchmark where one of them is missing."""
    for name in sets:
        if not (DATA / name).is_dir():
            sys.exit(f"no {name} at {DATA}; set LOWRES_DATA to the folder of the data sets")
    return DATA


def row(name: str, unit: str, lowres: float | None, peer: float | None) -> dict[str, Any]:
    """A figure of both sides; None where a side has none."""
    ratio = round(lowres / peer, 3) if lowres is not None and peer else None
    return {
        "name": name, "unit": unit, "lowres": _rounded(lowres), "peer": _rounded(peer),
        "ratio": ratio,
    }  # fmt: skip


def measured(
    name: str,
    unit: str,
    lowres: Sequence[float],
    peer: Sequence[float],
    middle: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[str, Any]:
    """A row of several measurements a side: their middle, from the lowest to the highest."""
    sides = {"lowres": lowres, "peer": peer}
    found = row(name, unit, *(middle(each) if each else None for each in sides.values()))
    for side, values in sides.items():
        if len(values) > 1:
            found[f"{side}_range"] = [_rounded(min(values)), _rounded(max(values))]
    return found


def machine() -> dict[str, Any]:
    """Where the figures are taken."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(),
    }
    if importlib.util.find_spec("torch") is not None:
        import torch  # takes seconds, which the table of `start_up.py` has no need of before

        found["torch"] = torch.__version__
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


def show(
    rows: Sequence[dict[str, Any]],
    as_json: bool,
    sides: tuple[str, str],
    notes: Sequence[str] = (),
) -> None:
    """Print the rows, as Markdown or as JSON.

    Args:
        rows: as `row` and `measured` make them.
        as_json: print `{"machine": ..., "columns": ..., "notes": ..., "rows": [...]}`.
        sides: what the two columns are called in Markdown.
        notes: what a reader of the table must know beside it; a table without rows says why.
    """
    if as_json:
        found = {
            "machine": machine(), "columns": list(sides), "notes": list(notes), "rows": list(rows),
        }  # fmt: skip
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    print("\n".join(markdown(rows, sides, notes)))


def markdown(
    rows: Sequence[dict[str, Any]], sides: Sequence[str], notes: Sequence[str] = ()
) -> list[str]:
    """A table's lines, and a list of the notes below it."""
    lines = []
    if rows:
        lines += [f"| | {sides[0]} | {sides[1]} | ratio |", "|---|---:|---:|---:|"]
    for one in rows:
        name = f"{one['name']}, {one['unit']}" if one["unit"] else one["name"]
        cells = [_cell(one[key], one.get(f"{key}_range")) for key in FIGURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if rows and notes:
        lines.append("")
    return lines + [f"- {note}" for note in notes]


def checked(text: str) -> dict[str, Any]:
    """What a benchmark printed with `--json`. Raises `ValueError` where that is another format."""
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f"printed no JSON: {text.strip()[:80]!r}") from error
    if not isinstance(found, dict) or not {"machine", "rows"} <= found.keys():
        raise ValueError('printed no {"machine": ..., "rows": [...]}')
    for one in found["rows"]:
        if missing := [key for key in KEYS if key not in one]:
            raise ValueError(f"a row without {', '.join(missing)}: {one}")
        if wrong := [k for k in FIGURES if not isinstance(one[k], int | float | None)]:
            raise ValueError(f"{one['name']}: {wrong[0]} is no number: {one[wrong[0]]!r}")
    return found


def write(file: Path, found: dict[str, Any]) -> None:
    """Keep a result: what `checked` gives, with command and date."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3 if abs(value) < 100 else 1)


def _cell(value: float | None, spread: Sequence[float] | None = None) -> str:
    if value is None:
        return "–"
    shown = _number(value)
    return shown if spread is None else f"{shown} ({_number(spread[0])} to {_number(spread[1])})"


def _number(value: float) -> str:
    return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
