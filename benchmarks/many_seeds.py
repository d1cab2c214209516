"""Five seeds and twenty targets in one run, against five separate runs of one seed each.

    python benchmarks/many_seeds.py                   # hours on one core
    python benchmarks/many_seeds.py --share 8         # an eighth of the sentences
    python benchmarks/many_seeds.py --layers top:4    # LoRA on the four highest layers
    python benchmarks/many_seeds.py --quick           # two seeds, four targets, a sixteenth
    python benchmarks/many_seeds.py --json

Topics from English SIB-200 over e5-small in 8 bits, six epochs, every baseline, twenty target
languages. Both sides are `lowres run` in processes of their own, with the same scores to show for
it: one process loads the base, reads the text and asks the baselines once, and where LoRA is on the
highest layers computes what lies below once for all epochs and seeds. Time is processor time of the
whole command and its wall clock; one round, in the order that is given.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tables
import yaml

SOURCE = "eng_Latn"
TARGETS = 20


def written(work: Path, targets: int, share: int) -> list[str]:
    """The sentences that are used, as files in a folder; the targets."""
    codes = sorted(
        path.name for path in (tables.DATA / "sib200").glob("*_*") if path.name != SOURCE
    )
    codes = codes[:: max(1, len(codes) // targets)][:targets]
    for code in (SOURCE, *codes):
        for split in ("train", "dev", "test"):
            file = tables.DATA / "sib200" / code / f"{split}.tsv"
            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))[::share]
            with (work / f"{code}-{split}.tsv").open("w", encoding="utf-8", newline="") as out:
                writer = csv.writer(out, delimiter="\t", lineterminator="\n")
                writer.writerows(
                    [("text", "category"), *((r["text"], r["category"]) for r in rows)]
                )
    return codes


def recipe(work: Path, targets: list[str], layers: str, epochs: float) -> Path:
    """The study of both sides; seeds are given on the command line."""
    plain: dict[str, Any] = {
        "name": "seeds",
        "base": {"name": "e5-small", "quantization": "8bit"},
        "languages": {"source": SOURCE, "targets": targets},
        "data": {"files": str(work / "{lang}-{split}.tsv")},
        "task": {"name": "classification"},
        "lora": {"layers": layers},
        "train": {"epochs": epochs, "batch": 16, "max_tokens": 128},
        "evaluate": {"bootstrap": 200},
    }
    file = work / "seeds.yaml"
    file.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return file


def run(file: Path, out: Path, seeds: list[int]) -> tuple[float, float]:
    """Processor and wall-clock seconds of `lowres run`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    command = [sys.executable, "-m", "lowres", "run", str(file), "--out", str(out)]
    done = subprocess.run([*command, f"seeds={seeds}"], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):  # 3: a score of so little text is not to be trusted
        sys.exit(done.stderr[-2000:])
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"seeds {seeds}: {processor:.1f} s, {wall:.1f} s by the clock", file=sys.stderr)
    return processor, wall


def mean_over_targets(out: Path) -> float:
    """Macro-F1 of the adapters over targets and seeds."""
    scores = json.loads((out / "results.json").read_text(encoding="utf-8"))["scores"]
    wanted = ("adapter", "macro_f1", "target")
    values = [s["value"] for s in scores if (s["system"], s["metric"], s["role"]) == wanted]
    return round(sum(values) / len(values), 4)


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--share", type=int, default=1, help="one sentence in so many")
    parser.add_argument("--layers", default="all", help="lora.layers: all, or top:4")
    asked = parser.parse_args()
    tables.data("sib200")
    seeds = [1, 2] if asked.quick else [1, 2, 3, 4, 5]
    share = 16 if asked.quick else asked.share
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        targets = written(work, 4 if asked.quick else TARGETS, share)
        file = recipe(work, targets, asked.layers, 2 if asked.quick else 6)
        together = run(file, work / "together", seeds)
        apart = [run(file, work / f"apart-{seed}", [seed]) for seed in seeds]
        score = mean_over_targets(work / "together")
        scores = [mean_over_targets(work / f"apart-{seed}") for seed in seeds]
    of = f"{len(seeds)} seeds, {len(targets)} targets, lora.layers {asked.layers}"
    rows = [
        tables.row(f"processor time, {of}", "s", round(together[0], 1), _sum(apart, 0)),
        tables.row(f"by the clock, {of}", "s", round(together[1], 1), _sum(apart, 1)),
        tables.row("mean over targets", "macro-F1", score, round(sum(scores) / len(scores), 4)),
    ]
    tables.show(rows, asked.json, ("one run", "a run a seed"))


def _sum(runs: list[tuple[float, float]], index: int) -> float:
    return round(sum(one[index] for one in runs), 1)


if __name__ == "__main__":
    main()
