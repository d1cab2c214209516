"""How long the XLM-R vocabulary takes to be extended: the command a user runs, whole process.

    python benchmarks/extend_speed.py zul_Latn yor_Latn kin_Latn   # 2.1 MB

Reads $LOWRES_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))


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
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(
        f"{size:.2f} MB of text, {' '.join(given.languages)}: {seconds:.1f} s, CPU "
        f"{used.ru_utime + used.ru_stime:.1f} s, peak {used.ru_maxrss / 1024:.0f} MB, "
        f"{os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
