"""Rates, epochs and smoothing of `pos-ud`, compared on the dev sets of the targets that have one.

    python benchmarks/pos_sweep.py                         # the settings of docs/results.md
    python benchmarks/pos_sweep.py "train.learning_rate=1e-3 train.epochs=2"

Maltese, Wolof and Marathi have dev sets among the twelve treebanks; here they stand in for their
test sets, which are not touched. English-EWT trains, one seed, no quantisation; a setting takes
about five minutes on one core. Finished settings are not run again (`runs/pos-sweep/`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data"))
RUNS = ROOT / "runs" / "pos-sweep"
TARGETS = {"mlt_Latn": "mt_mudt", "wol_Latn": "wo_wtb", "mar_Deva": "mr_ufal"}
PLAIN = "train.learning_rate=3e-4 train.epochs=3 train.label_smoothing=0"
BETTER = "train.learning_rate=6e-4 train.epochs=3 train.label_smoothing=0"
SETTINGS = (
    PLAIN,
    BETTER,
    BETTER.replace("6e-4", "1e-3"),
    f"{BETTER} train.head_learning_rate=1e-3",
    f"{BETTER} train.checkpoint=average",
    f"{BETTER} lora.rank=64 lora.alpha=128",
    f"{BETTER} lora.dropout=0.2",
    BETTER.replace("epochs=3", "epochs=2"),
    BETTER.replace("smoothing=0", "smoothing=0.1"),
    BETTER.replace("epochs=3", "epochs=2").replace("smoothing=0", "smoothing=0.1"),
    BETTER.replace("smoothing=0", "smoothing=0.1") + " lora.dropout=0.2",
    BETTER.replace("epochs=3", "epochs=2").replace("smoothing=0", "smoothing=0.1")
    + " lora.dropout=0.2",
    BETTER.replace("epochs=3", "epochs=2").replace("smoothing=0", "smoothing=0.1")
    + " lora.rank=8 lora.alpha=16",
)


def linked(folder: Path) -> str:
    """A file template: English as it is, the targets' dev sets under the name of a test set."""
    found = {file.name: file for file in DATA.glob("ud/*/*.conllu")}
    for split in ("train", "dev", "test"):
        name = f"en_ewt-ud-{split}.conllu"
        (folder / name).symlink_to(found[name].resolve())
    for stem in TARGETS.values():
        (folder / f"{stem}-ud-test.conllu").symlink_to(found[f"{stem}-ud-dev.conllu"].resolve())
    return str(folder / "{lang}-ud-{split}.conllu")


def measure(setting: str, files: str) -> dict[str, float]:
    """Accuracy of the source (test) and of the targets (dev), by one run."""
    run = RUNS / setting.replace(" ", "_")
    if not (run / "results.json").is_file():
        words = [
            str(Path(sys.executable).with_name("lowres")), "run", "pos-ud", "base.name=e5-small",
            "base.quantization=none", "seeds=[1]", "evaluate.baselines=[majority]",
            f"languages.targets=[{', '.join(TARGETS)}]", f"data.files={files}", *setting.split(),
            "--out", str(run),
        ]  # fmt: skip
        status = subprocess.run(words, cwd=ROOT, check=False).returncode
        if status not in (0, 3):
            sys.exit(status)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return {
        a["over"]: a["mean"]
        for a in results["averages"]
        if a["system"] == "adapter" and a["metric"] == "accuracy"
    }


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set LOWRES_DATA to the folder of the data sets")
    # one place for the links: the path of the data is part of a run's identity
    RUNS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=RUNS) as made:
        links = RUNS / "data"
        if not links.is_dir():
            linked(Path(made))
            Path(made).rename(links)
            Path(made).mkdir()
        files = str(links / "{lang}-ud-{split}.conllu")
        print("| setting | targets' dev | English test |\n|---|---:|---:|")
        for setting in sys.argv[1:] or SETTINGS:
            found = measure(setting, files)
            print(f"| {setting} | {found['targets']:.4f} | {found['source']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
