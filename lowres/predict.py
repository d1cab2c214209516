"""Use an adapter: lines of text in, one answer a line out, in order and in flat memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lowres import bases, inference, model, registry
from lowres.errors import RunError
from lowres.hardware import Hardware, detect
from lowres.recipe import Base
from lowres.tasks import Prediction, TaskOptions

CHUNK = 256
"""Lines answered at a time: enough to sort by length, little enough to hold."""


@dataclass(frozen=True)
class Adapter:
    """A loaded adapter with its base, ready to answer."""

    network: Any
    tokenizer: Any
    task: TaskOptions
    labels: tuple[str, ...]
    max_tokens: int
    hardware: Hardware
    batch_tokens: int = 4096

    def predict(self, lines: Iterable[str]) -> Iterator[Prediction]:
        """One answer a line, in order; reads ahead `CHUNK` lines at most.

        A line is a text; for pairs two texts with a tab between; for tagging words with spaces
        between.
        """
        from datasets import Dataset

        rest = iter(lines)
        while chunk := list(islice(rest, CHUNK)):
            rows = [
                {"id": str(i), **self.task.read_text(line.rstrip("\n"))}
                for i, line in enumerate(chunk)
            ]
            yield from inference.predict(
                self.network,
                self.tokenizer,
                self.task,
                self.labels,
                Dataset.from_list(rows),
                self.hardware,
                self.max_tokens,
                self.batch_tokens,
            )


def find(path: Path) -> Path:
    """The adapter folder in `path`: itself, or that of a run's best seed on source dev."""
    if (path / "adapter_config.json").is_file():
        return path
    best: tuple[float, Path] | None = None
    for manifest in sorted((path / "train").glob("*/manifest.json")):
        notes = json.loads(manifest.read_text(encoding="utf-8"))["notes"]
        if notes["status"] == "ok" and (best is None or notes["dev"] > best[0]):
            best = (notes["dev"], manifest.parent / "adapter")
    if best is None:
        raise RunError(
            f"{path}: no adapter here: expected adapter_config.json, or a finished run's folder "
            "(see `lowres ls runs`)"
        )
    return best[1]


def load(path: Path, quantization: str | None = None) -> Adapter:
    """Load an adapter folder or a run folder.

    Args:
        path: the folder.
        quantization: `8bit`, `4bit`, `none`; by default what it was trained with.

    Raises:
        RunError: when the folder holds no adapter of lowres.
    """
    folder = find(path)
    file = folder / model.LABELS_FILE
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file}: missing or not JSON; an adapter of lowres names its labels there"
        ) from error
    task: TaskOptions = registry.module("tasks", meta["task"]["name"]).Options(**meta["task"])
    options = Base(name=meta["base"], quantization=quantization or meta["quantization"])
    hardware = detect()
    located = bases.locate(options.name, None, False)
    base = model.load_base(located, options, task, meta["labels"], hardware)
    network = model.load_adapter(base, folder)
    return Adapter(
        network,
        model.load_tokenizer(located),
        task,
        tuple(meta["labels"]),
        meta["max_tokens"],
        hardware,
    )
