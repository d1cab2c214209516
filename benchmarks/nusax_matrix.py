"""Every language of NusaX as a source for every other: 12 x 12 sentiment scores with e5-small.

    python benchmarks/nusax_matrix.py run                   # two rows at once; goes on where it was
    python benchmarks/nusax_matrix.py run --only ind_Latn   # one row
    python benchmarks/nusax_matrix.py write                 # finished rows -> benchmarks/results
    python benchmarks/nusax_matrix.py table                 # what was written, as a table

A row is a `lowres run` of its own (runs/nusax-matrix/SOURCE): one language trains on its 500
sentences, all twelve test sets of 400 are answered. One thread a process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data"))
RUNS = ROOT / "runs" / "nusax-matrix"
FILE = ROOT / "benchmarks" / "results" / "nusax_matrix.json"
RECORD = ROOT / "lowres" / "transfers" / "nusax.tsv"
"""Written when all rows are there: what `lowres suggest` reads."""
HEAD = """\
# task: classification
# what: sentiment (NusaX), macro-F1, e5-small, 12 languages
# unit: score
# source: measured here, benchmarks/nusax_matrix.py
"""
LANGUAGES = {
    "ace_Latn": "acehnese", "ban_Latn": "balinese", "bbc_Latn": "toba_batak",
    "bjn_Latn": "banjarese", "bug_Latn": "buginese", "eng_Latn": "english",
    "ind_Latn": "indonesian", "jav_Latn": "javanese", "mad_Latn": "madurese",
    "min_Latn": "minangkabau", "nij_Latn": "ngaju", "sun_Latn": "sundanese",
}  # fmt: skip
METRIC = "macro_f1"
SETTINGS = (
    "base.name=e5-small",
    "base.quantization=none",
    "train.epochs=5",  # the recipe has 10, which was not compared
    "evaluate.baselines=[majority]",
    "evaluate.bootstrap=100",
    "seeds=[1]",
)


def row(source: str, settings: tuple[str, ...] = SETTINGS, runs: Path = RUNS) -> None:
    """One source; a finished row costs nothing. What it took stands beside the run."""
    out = runs / source
    if (out / "row.json").is_file():
        return
    names = ", ".join(f"{code}: {name}" for code, name in LANGUAGES.items())
    targets = ", ".join(code for code in LANGUAGES if code != source)
    words = [
        str(Path(sys.executable).with_name("lowres")), "run", "sentiment-nusax", *settings,
        f"data.files={os.path.relpath(DATA, ROOT)}/nusax/{{lang}}/{{split}}.csv",
        f"data.names={{{names}}}", "data.labels={}",
        f"languages.source={source}", f"languages.targets=[{targets}]", "--out", str(out),
    ]  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        sys.exit(process.returncode)
    took = _took(used, time.monotonic() - started)
    (out / "row.json").write_text(json.dumps(took) + "\n", encoding="utf-8")


def _took(used: resource.struct_rusage, seconds: float) -> dict[str, float]:
    return {"cpu_seconds": round(used.ru_utime + used.ru_stime), "seconds": round(seconds)}


def run(sources: list[str], workers: int) -> None:
    """All rows asked for, so many at once."""
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set LOWRES_DATA to the folder of the data sets")
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(row, sources))


def write() -> None:
    """Macro-F1 of finished rows, four places."""
    rows: dict[str, Any] = {}
    for source in LANGUAGES:
        folder = RUNS / source
        if not (folder / "row.json").is_file():
            continue
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        scores = {
            s["language"]: round(s["value"], 4)
            for s in results["scores"]
            if s["system"] == "adapter" and s["metric"] == METRIC
        }
        took = json.loads((folder / "row.json").read_text(encoding="utf-8"))
        status = results["seeds"][0]["status"]
        rows[source] = {"status": status, **took, "scores": dict(sorted(scores.items()))}
    if not rows:
        sys.exit(f"no finished row in {RUNS}: python benchmarks/nusax_matrix.py run")
    FILE.parent.mkdir(exist_ok=True)
    plain = {"metric": METRIC, "n": 400, "settings": list(SETTINGS), "rows": rows}
    FILE.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    print(f"{FILE}: {len(rows)} of {len(LANGUAGES)} rows")
    if len(rows) == len(LANGUAGES):
        lines = ["\t".join(["source", *LANGUAGES])]
        for source, row in rows.items():
            lines.append("\t".join([source, *(f"{row['scores'][t]:g}" for t in LANGUAGES)]))
        RECORD.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
        print(RECORD)


def table() -> None:
    """Rows are sources, columns are targets; last the mean over the other languages."""
    plain = json.loads(FILE.read_text(encoding="utf-8"))
    print(f"| source | {' | '.join(code[:3] for code in LANGUAGES)} | mean of others | CPU s |")
    print(f"|---|{'---:|' * (len(LANGUAGES) + 2)}")
    for source, its in plain["rows"].items():
        scores = its["scores"]
        cells = [f"{100 * scores[target]:.1f}" for target in LANGUAGES]
        others = fmean(scores[target] for target in LANGUAGES if target != source)
        print(f"| {source} | {' | '.join(cells)} | {100 * others:.1f} | {its['cpu_seconds']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    running = commands.add_parser("run", help="train and score")
    running.add_argument("--only", nargs="+", choices=list(LANGUAGES), default=list(LANGUAGES))
    running.add_argument("--workers", type=int, default=2)
    commands.add_parser("write", help="finished rows, as one small file")
    commands.add_parser("table", help="print it")
    asked = parser.parse_args()
    if asked.what == "run":
        run(asked.only, asked.workers)
    elif asked.what == "write":
        write()
    else:
        table()


if __name__ == "__main__":
    main()
