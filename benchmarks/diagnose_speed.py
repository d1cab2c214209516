"""`lowres tokenizer diagnose` on large text: memory, and speed beside the tokenizer alone.

    python benchmarks/diagnose_speed.py --megabytes 100 1000

A file of that size is made of the texts of $LOWRES_DATA (default ../shared/data), again and again;
in every repetition one word of twenty gets two random letters more, as a text of that size goes on
to hold new words: diagnose encodes a word once, and repetition alone would flatter it.
The other side encodes the same file with `encode_batch_fast`, 10,000 lines at a time, and keeps
nothing. Both are processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
CHANCE = random.Random(1)
BARE = """
import resource, sys, time
from itertools import islice
from lowres import bases, model
tokenizer = model.load_tokenizer(bases.locate(sys.argv[2])).backend_tokenizer
start = time.monotonic()
with open(sys.argv[1], encoding="utf-8") as file:
    while lines := list(islice(file, 10_000)):
        tokenizer.encode_batch_fast(lines, add_special_tokens=False)
print(time.monotonic() - start)
"""
WITHIN = """
import resource, runpy, sys
sys.argv = ["lowres", *sys.argv[1:]]
from lowres.cli import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:.0f}", file=sys.stderr)
"""


def with_new(words: list[bytes]) -> list[bytes]:
    """One word of twenty made one that was hardly there before."""
    for at in range(CHANCE.randrange(20), len(words), CHANCE.randrange(19, 22)):
        words[at] += bytes(CHANCE.choices(b"abcdefghijklmnopqrstuvwxyz", k=2))
    return words


def grown(file: Path, megabytes: float) -> None:
    """Write a file of about that size."""
    texts = [path.read_bytes() for path in sorted((DATA / "text").glob("*_Latn.txt"))]
    size = 0
    with file.open("wb") as out:
        while size < megabytes * 1e6:
            for text in texts:
                size += out.write(b" ".join(with_new(text.rstrip(b"\n").split(b" "))) + b"\n")
                if size >= megabytes * 1e6:
                    break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[100, 1000])
    parser.add_argument("--base", default="e5-small")
    given = parser.parse_args()
    if not (DATA / "text").is_dir():
        sys.exit(f"no texts at {DATA}/text; set LOWRES_DATA to the folder of the data sets")
    print("| MB | diagnose, s | peak MB | tokenizer alone, s | ratio |\n|---:|---:|---:|---:|---:|")
    for megabytes in given.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "text.txt"
            grown(file, megabytes)
            command = ["tokenizer", "diagnose", "--base", given.base, "--text", str(file), "--json"]
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", WITHIN, *command], check=True, capture_output=True, text=True
            )
            seconds = time.monotonic() - start
            assert json.loads(done.stdout), "it says something"
            peak = done.stderr.split("peak ")[-1].split()[0]
            bare = subprocess.run(
                [sys.executable, "-c", BARE, str(file), given.base],
                check=True,
                capture_output=True,
                text=True,
            )
            alone = float(bare.stdout.split()[-1])
            print(
                f"| {file.stat().st_size / 1e6:.0f} | {seconds:.0f} | {peak} | {alone:.0f} | "
                f"{seconds / alone:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
