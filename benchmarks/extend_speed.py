"""How long the XLM-R vocabulary takes to be extended: the command a user runs, whole process.

    python benchmarks/extend_speed.py zul_Latn yor_Latn kin_Latn   # 2.1 MB

And how long the result takes to load beside the base: `AutoTokenizer.from_pretrained` of both
folders in turn, in one process that has the libraries, the medians of five. CPU seconds stand
beside: other work on the machine adds nothing to them.

Reads $LOWRES_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from transformers import AutoTokenizer

from lowres import bases

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
LOADS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--base", default="e5-small")
    given = parser.parse_args()
    files = [DATA / "text" / f"{language}.txt" for language in given.languages]
    if missing := [str(file) for file in files if not file.is_file()]:
        sys.exit(f"no {', '.join(missing)}; set LOWRES_DATA to the folder of the data sets")
    with tempfile.TemporaryDirectory() as folder:
        command = ["lowres", "tokenizer", "extend", "--base", given.base, "--out", f"{folder}/out"]
        for file in files:
            command += ["--text", str(file)]
        start = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - start
        loads = loading({"base": bases.locate(given.base).path, "extended": f"{folder}/out"})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(
        f"{size:.2f} MB of text, {' '.join(given.languages)}: {seconds:.1f} s, CPU "
        f"{used.ru_utime + used.ru_stime:.1f} s, peak {used.ru_maxrss / 1024:.0f} MB, "
        f"{os.cpu_count()} cores"
    )
    for name, (wall, cpu) in loads.items():
        print(f"AutoTokenizer, {name}: {wall:.2f} s, CPU {cpu:.2f} s (medians of {LOADS})")


def loading(folders: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Seconds that each folder's tokenizer takes to load, by the clock and of CPU."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in folders}
    for number in range(LOADS + 1):
        for name, folder in folders.items():
            start, cpu = time.monotonic(), time.process_time()
            AutoTokenizer.from_pretrained(folder)
            if number:  # the first one imports
                found[name].append((time.monotonic() - start, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in each), statistics.median(c for _, c in each))
        for name, each in found.items()
    }


if __name__ == "__main__":
    main()
