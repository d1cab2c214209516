"""How far an adapter's logits move when its base gets its 4-bit rounding back as noise.

    python benchmarks/rebuilt_tolerance.py RUN_OR_ADAPTER... [--draws 20] [--texts TEST.tsv]

The base is e5-small rebuilt from blocks of 32 weights with one step each (`lowres/embedded.py`).
The original weight lies within half a step of the rebuilt one, so a base with uniform noise of that
size is as far from the rebuilt one as the original is. `k half steps` is the noise k times as wide:
a base that is certainly another one. The sentences are those of `probe.json`; logits in float64. A
difference is told as it is and as a share of the adapter's spread (`gate.spread`). With `--texts`
(columns category, text) a score of real sentences too. Prints lines of Markdown, one an adapter and
width.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowres import adapter_files, embedded, gate, model, predict, probe, quiet
from lowres.bases import ROWS, LocatedBase
from lowres.hardware import Hardware
from lowres.recipe import Base

BLOCK = 32
WIDTHS = (1.0, 2.0, 4.0, 12.0)


def rebuilt() -> LocatedBase:
    row = embedded.EMBEDDED["e5-small"]
    path = str(embedded.rebuild(row.name))
    return LocatedBase(row.name, path, ROWS[row.name].hub_id, None, row.obtained)


def steps(weight: torch.Tensor) -> torch.Tensor | None:
    """The step of each weight's block, or None for a tensor that was stored in 32 bits."""
    flat = weight.reshape(-1)
    if flat.numel() % BLOCK:
        return None
    blocks = flat.reshape(-1, BLOCK)
    # the largest of a block is 8 steps from 0
    step = blocks.abs().amax(dim=1, keepdim=True) / 8
    levels = blocks / step.clamp(min=1e-12)
    if not torch.allclose(levels, levels.round(), atol=1e-2):
        return None
    return step.expand(-1, BLOCK).reshape(weight.shape)


class Noisy:
    """An adapter over the rebuilt base, whose blocks of 4 bits can be given noise."""

    def __init__(self, folder: Path) -> None:
        located = rebuilt()
        meta = json.loads((folder / adapter_files.LABELS_FILE).read_text(encoding="utf-8"))
        self.task = predict.task_of(meta)
        options = Base(name=located.name, quantization="none")
        base = model.load_base(located, options, self.task, meta["labels"], Hardware("cpu", "fp32"))
        self.kept = {}
        for name, parameter in base.named_parameters():
            # those of the head were never rounded, and are replaced by the adapter's
            found = steps(parameter.detach()) if "classifier" not in name else None
            if found is not None and parameter.ndim == 2:
                self.kept[parameter] = (parameter.detach().clone(), found)
        self.network: Any = adapter_files.load_adapter(base, folder)
        self.labels: list[str] = meta["labels"]
        self.tokenizer: Any = adapter_files.tokenizer_of(folder, located)
        self.inputs = [self.read(text) for text in probe.sentences(probe.new_pieces(folder))]

    def read(self, text: str) -> Any:
        fields = probe.arguments(probe.fields_of(text, self.task))
        return self.tokenizer(**fields, truncation=True, max_length=256, return_tensors="pt")

    def logits(
        self, width: float, seed: int, kind: torch.dtype = torch.float64
    ) -> list[np.ndarray]:
        """With uniform noise of `width` half steps."""
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter, (weight, step) in self.kept.items():
                noise = (torch.rand(weight.shape) - 0.5) * step * width if width else 0.0
                parameter.data = (weight + noise).to(kind)
            self.network.to(kind)
            return [self.network(**given).logits[0].numpy() for given in self.inputs]


def row(name: str, noisy: Noisy, width: float, draws: int, clean: list[np.ndarray]) -> str:
    """One line: how far logits moved, how many labels changed, and what the gate says of it."""
    spread, tolerance = gate.spread(clean), gate.rebuilt_tolerance(clean)
    stored = [{"input_ids": [], "logits": one.tolist()} for one in clean]
    shares, same, count, refused, margins = [], 0, 0, 0, [0.0]
    for seed in range(1, draws + 1):
        moved = noisy.logits(width, seed)
        widest = max(float(np.abs(a - b).max()) for a, b in zip(clean, moved, strict=True))
        shares.append(widest / spread)
        answers = [{"input_ids": [], "logits": one.tolist()} for one in moved]
        refused += bool(gate.over_hub(stored, answers, tolerance)[1])
        for was, now in zip(clean, moved, strict=True):
            agree = np.atleast_1d(was.argmax(-1) == now.argmax(-1))
            margin = np.atleast_1d(np.diff(np.sort(was, axis=-1)[..., -2:], axis=-1)[..., 0])
            same, count = same + int(agree.sum()), count + agree.size
            margins += list(margin[~agree] / spread)
    return (
        f"| {name} | {width:g} | {spread:.2f} | {np.median(shares):.2f} | {max(shares):.2f} "
        f"| {same / count:.0%} | {max(margins):.2f} | {refused} of {draws} |"
    )


def on_texts(name: str, noisy: Noisy, file: Path, draws: int) -> None:
    """Macro-F1 and how many labels stay, on labelled sentences."""
    from sklearn.metrics import f1_score

    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    gold = [noisy.labels.index(given["category"]) for given in rows]
    noisy.inputs = [noisy.read(given["text"]) for given in rows]
    clean = [int(one.argmax()) for one in noisy.logits(0.0, 0, torch.float32)]
    for width in WIDTHS:
        told = []
        for seed in range(1, draws + 1):
            moved = [int(one.argmax()) for one in noisy.logits(width, seed, torch.float32)]
            same = np.mean(np.equal(clean, moved))
            told.append((f1_score(gold, moved, average="macro", zero_division=0), same))
        scores, sames = map(np.array, zip(*told, strict=True))
        print(
            f"| {name} | {width:g} | {f1_score(gold, clean, average='macro'):.3f} "
            f"| {scores.mean():.3f} ({scores.min():.3f} to {scores.max():.3f}) "
            f"| {sames.mean():.0%} ({sames.min():.0%} to {sames.max():.0%}) |",
            flush=True,
        )


def _name(path: Path) -> str:
    return next(
        p for p in reversed(path.parts) if p not in ("adapter", "train") and not p.isdigit()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapters", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--texts", type=Path)
    given = parser.parse_args()
    head = (
        "| adapter | half steps | spread | widest / spread, median | most | same labels "
        "| largest margin / spread of another label | refused |\n|---|" + "---:|" * 7
    )
    if given.texts is not None:
        head = "| adapter | half steps | macro-F1 | with noise | labels that stay |\n|---|"
        head += "---:|" * 4
    print(head)
    for path in given.adapters:
        folder = predict.find(path)
        with quiet.loading():
            noisy = Noisy(folder)
        if given.texts is not None:
            on_texts(_name(path), noisy, given.texts, given.draws)
            continue
        clean = noisy.logits(0.0, 0)
        for width in WIDTHS:
            draws = given.draws if width == 1 else max(2, given.draws // 2)
            print(row(_name(path), noisy, width, draws, clean), flush=True)


if __name__ == "__main__":
    main()
