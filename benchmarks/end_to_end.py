"""A whole small study: `lowres run` against the plain script, start and all.

    python benchmarks/end_to_end.py            # eight minutes on one core
    python benchmarks/end_to_end.py --sides lowres best    # without the script's defaults: three
    python benchmarks/end_to_end.py --quick    # 48 sentences, one epoch
    python benchmarks/end_to_end.py --json

Topics from English SIB-200 (every second of 701 sentences, two epochs) over e5-small, tested on
English and two targets of 204 sentences each. Both are commands in processes of their own; seconds
by the clock and of processor time, once a side. `plain_script.py` trains, answers and scores.
`lowres run` does that too, with a checkpoint and a pass over source dev an epoch, intervals, a
report and an adapter that is checked; "with all baselines" adds TF-IDF, the probe of the frozen
base and the others that a recipe has by default. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import alone
import tables
import yaml

SOURCE, TARGETS = "eng_Latn", ("swh_Latn", "yor_Latn")
SIDES = ("lowres", "lowres, all baselines", "best", "defaults")
FINE = (0, 3)
"""3: so little training gives scores that must not be trusted."""


def thinned(work: Path, share: int, tests: int) -> Path:
    """The same files for both sides: one sentence in `share` of train, in `tests` of test."""
    for language in (SOURCE, *TARGETS):
        for split, every in (("train", share), ("dev", 1), ("test", tests)):
            file = tables.DATA / "sib200" / language / f"{split}.tsv"
            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))[::every]
            out = work / language / f"{split}.tsv"
            out.parent.mkdir(exist_ok=True)
            with out.open("w", encoding="utf-8", newline="") as into:
                writer = csv.DictWriter(into, list(rows[0]), delimiter="\t", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return work


def lowres(work: Path, epochs: int, baselines: Any) -> list[str]:
    """The command of a recipe with the plain script's settings."""
    name = "study-all" if baselines == "auto" else "study"
    recipe = {
        "name": name,
        "base": {"name": "e5-small", "quantization": "none"},
        "languages": {"source": SOURCE, "targets": list(TARGETS)},
        "data": {"files": str(work / "{lang}" / "{split}.tsv")},
        "task": {"name": "classification"},
        "lora": {"rank": 16, "alpha": 32, "dropout": 0.05},
        "train": {"epochs": epochs, "batch": 16, "learning_rate": 5e-4, "max_tokens": 128},
        "evaluate": {"baselines": baselines},
    }
    file = work / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return [*alone.lowres_command(), "run", str(file), "--out", str(work / name)]


def command(side: str, work: Path, epochs: int, model: str) -> list[str]:
    """What a user types on one side."""
    if side.startswith("lowres"):
        return lowres(work, epochs, "auto" if side.endswith("baselines") else ["majority"])
    script = str(Path(__file__).with_name("plain_script.py"))
    words = [sys.executable, script, "--model", model, "--data", str(work)]
    words += ["--targets", *TARGETS, "--epochs", str(epochs)]
    return [*words, "--best"] if side == "best" else words


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    asked = parser.parse_args()
    tables.data("sib200")
    from lowres import bases

    model = bases.locate("e5-small").path  # made once and kept, for both sides
    sides = ["lowres", "best"] if asked.quick else asked.sides
    epochs = 1 if asked.quick else 2
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        work = thinned(Path(folder), *((15, 8) if asked.quick else (2, 1)))
        for side in sides:
            found[side] = alone.command(command(side, work, epochs, model), FINE)
            print(f"{side}: {found[side].wall_s:.1f} s", file=sys.stderr, flush=True)
    rows = []
    for ours in (side for side in sides if side.startswith("lowres")):
        for peer in (side for side in sides if not side.startswith("lowres")):
            of = f"{ours} against the plain script ({peer})"
            one, other = found[ours], found[peer]
            rows.append(tables.row(f"{of}, by the clock", "s", one.wall_s, other.wall_s))
            rows.append(tables.row(f"{of}, processor", "s", one.processor_s, other.processor_s))
    tables.show(rows, asked.json, ("lowres", "plain script"), [tables.ONCE])


if __name__ == "__main__":
    main()
