"""`make bench`: run every benchmark, one after the other, and keep what they say.

    python benchmarks/all.py                         # CPU, half an hour on one idle core
    python benchmarks/all.py --quick                 # each within a minute, into runs/benchmarks
    python benchmarks/all.py --only overhead         # also what half an hour has no room for
    python benchmarks/all.py --long                  # without what makes them short: hours
    python benchmarks/all.py --write-docs            # runs nothing: results into the pages' tables

Each script's table goes to the terminal and, with machine, command and date, as JSON into
benchmarks/results/<script>.json; README.md there shows them all. A script that fails is named at
the end and leaves the figures of an earlier run where they are; the others go on, and the exit
status is then 1. `--write-docs` rewrites README.md, and the blocks `<!-- bench: NAME -->` ...
`<!-- /bench -->` of every page under docs/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tables

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "benchmarks"
RESULTS = SCRIPTS / "results"
DOCS = ROOT / "docs"
BLOCK = re.compile(r"<!-- bench: (\w+) -->\n.*?<!-- /bench -->", re.DOTALL)


@dataclass(frozen=True)
class Bench:
    """A script; `short` is what keeps it within its part of the half hour, and one that nothing
    keeps there without saying something else runs when it is asked for: `--long`, or `--only`."""

    name: str
    options: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    asked_for: bool = False


BENCHES = (
    Bench("start_up"),
    Bench("packing"),
    Bench("base_memory"),
    Bench("large_memory"),
    Bench("finetune", ("--scores",), short=("--rounds", "2")),
    Bench("end_to_end", short=("--sides", "lowres", "best")),
    Bench("adapt_step", short=("--batch", "8", "--steps", "2")),
    Bench("predict", short=("--sentences", "300")),
    Bench("growth"),
    Bench("overhead", asked_for=True),
    Bench("plan_accuracy", asked_for=True),
    Bench("plan_held_out", asked_for=True),
    Bench("plan_fit", asked_for=True),
    Bench("many_seeds", short=("--share", "8"), asked_for=True),
    Bench("adapters_side", asked_for=True),  # without its environment it has no rows
    Bench("compile"),
    Bench("gpu"),
)
"""What takes hours and has tables of its own is no part: quality, real_data."""


def command(bench: Bench, quick: bool, long: bool) -> list[str]:
    """What a reader would type, without `--json`."""
    options = [*bench.options, *([] if long or quick else bench.short)]
    if quick:
        options.append("--quick")
    return ["python", f"benchmarks/{bench.name}.py", *options]


def run(words: Sequence[str], scripts: Path, limit_s: float) -> dict[str, Any]:
    """What a script prints with `--json`; its standard error goes to the terminal.

    Raises `ValueError`, in words, where it fails, prints something else or takes too long.
    """
    script = scripts / Path(words[1]).name
    with subprocess.Popen(
        [sys.executable, str(script), *words[2:], "--json"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=limit_s)
        except BaseException as error:
            # its own processes with it: they would go on measuring beside the next script
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ValueError(f"took longer than {limit_s:.0f} s") from None
            raise
    if process.returncode:
        raise ValueError(f"exit status {process.returncode}")
    return tables.checked(out)


def keep(folder: Path, bench: Bench, words: Sequence[str], limit_s: float, scripts: Path) -> bool:
    """Run one and write its file; whether it did what it should."""
    file = folder / f"{bench.name}.json"
    now = datetime.datetime.now(datetime.UTC)
    about = {"command": " ".join(words), "date": now.strftime("%Y-%m-%d")}
    start = time.monotonic()
    try:
        found = {**about, "seconds": 0.0, **run(words, scripts, limit_s)}
    except ValueError as error:
        print(f"{bench.name}: failed: {error}", file=sys.stderr, flush=True)
        found = read(file) or {**about, "machine": tables.machine(), "notes": [], "rows": []}
        found["failed"] = {**about, "because": str(error)}
    else:
        found["seconds"] = round(time.monotonic() - start, 1)
    tables.write(file, found)
    print("\n".join(shown(bench.name, found)) + "\n", flush=True)
    return "failed" not in found


def read(file: Path) -> dict[str, Any]:
    """What a file of results holds; nothing where there is none."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def shown(name: str, found: dict[str, Any]) -> list[str]:
    """A heading, the table, and where its figures are from."""
    lines = [f"## {name}", "", *table(found)]
    if failed := found.get("failed"):
        lines += ["", f"**Failed** on {failed['date']} (`{failed['command']}`): "
                  f"{failed['because']}."]  # fmt: skip
    return lines


def table(found: dict[str, Any]) -> list[str]:
    """A result as Markdown."""
    columns = found.get("columns", ["lowres", "peer"])
    lines = tables.markdown(found["rows"], columns, found.get("notes", []))
    took = f", {found['seconds']:.0f} s" if "seconds" in found else ""
    place = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    return [*lines, "", f"`{found['command']}`, {found['date']}{took}; {place}."]


def summary(folder: Path) -> str:
    """README.md of the results: all tables, in the order in which they are made."""
    lines = [
        "# What was measured",
        "",
        "Each table names the command that made it, of which `make bench` runs most, some of them",
        "shortened; this page is written by `python benchmarks/all.py`. What the figures mean",
        "stands in docs/performance.md, how each is taken in the docstring of its script. Brackets",
        "hold the lowest and the highest; the ratio is the first column by the second.",
    ]
    for bench in BENCHES:
        if found := read(folder / f"{bench.name}.json"):
            lines += ["", *shown(bench.name, found)]
    return "\n".join(lines) + "\n"


def page_with_tables(page: str, folder: Path) -> str:
    """A page with every block as the results have it."""

    def block(match: re.Match[str]) -> str:
        found = read(folder / f"{match[1]}.json")
        lines = table(found) if found.get("rows") else ["Not measured yet."]
        return "\n".join([f"<!-- bench: {match[1]} -->", *lines, "<!-- /bench -->"])

    return BLOCK.sub(block, page)


def pages(folder: Path) -> dict[Path, str]:
    """What shows results, and as it should read: their README.md, and every page with a block."""
    found = {folder / "README.md": summary(folder)}
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if BLOCK.search(text):
            found[page] = page_with_tables(text, folder)
    return found


def main(given: Sequence[str] | None = None, scripts: Path = SCRIPTS) -> int:
    """Run what is asked for; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [bench.name for bench in BENCHES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="SCRIPT")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--limit-s", type=float, help="of one script; default: 1200, --long 14400")
    parser.add_argument("--write-docs", action="store_true")
    asked = parser.parse_args(given)
    if asked.write_docs:
        for page, text in pages(asked.out or RESULTS).items():
            page.write_text(text, encoding="utf-8")
        return 0
    # figures of a first look must not stand where people look for the measured ones
    folder: Path = asked.out or (ROOT / "runs" / "benchmarks" if asked.quick else RESULTS)
    # more threads than a side has cores make torch slower, and both sides other ones
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = []
    for bench in BENCHES:
        every = asked.quick or asked.long or not bench.asked_for
        if bench.name in asked.only if asked.only else every:
            words = command(bench, asked.quick, asked.long)
            print(f"$ {' '.join(words)}", file=sys.stderr, flush=True)
            limit_s = asked.limit_s or (14_400 if asked.long or bench.asked_for else 1_200)
            if not keep(folder, bench, words, limit_s, scripts):
                failed.append(bench.name)
            (folder / "README.md").write_text(summary(folder), encoding="utf-8")
    print(f"results: {folder}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
