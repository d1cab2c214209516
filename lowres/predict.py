"""Use an adapter: lines of text in, one answer a line out, in order and in flat memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from lowres import adapter_files, bases, inference, model, registry, stacking
from lowres import trimmed as trimming
from lowres.artifacts import MANIFEST
from lowres.errors import DataError, RunError
from lowres.hardware import Hardware, detect
from lowres.recipe import Base
from lowres.tasks import Prediction, TaskOptions

CHUNK = 256
"""Lines answered at a time: enough to sort by length, little enough to hold."""
_FEATURES = "FEATURE_EXTRACTION"
"""peft's word for an encoder without a head."""
KEPT = Path("trim") / trimming.FILE
META_KEYS = {"base", "labels", "max_tokens", "quantization", "task"}


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
    notes: tuple[str, ...] = ()
    """What whoever reads the answers should know."""

    def predict(self, lines: Iterable[str]) -> Iterator[Prediction]:
        """One answer a line, in order; reads ahead `CHUNK` lines at most.

        A line is a text; for pairs two texts with a tab between; for tagging words with spaces
        between.
        """
        from datasets import Dataset

        rest = iter(lines)
        while chunk := list(islice(rest, CHUNK)):
            rows = [
                {"id": str(i), **self.task.read_text(line.rstrip("\r\n"))}
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


def lines_of(file: Path | None) -> Iterator[str]:
    """Lines of a file, or of standard input, without their ends; read as they are asked for.

    Raises `DataError` at once for a file that is missing, empty or begins with no text, and for a
    later line that is not UTF-8 when it is reached.
    """
    if file is None:
        return _decoded(sys.stdin.buffer, "standard input")
    try:
        lines = _decoded(file.open("rb"), str(file))
    except OSError as error:
        raise DataError(f"--file {file}: cannot be read: {error.strerror}") from error
    first = next(lines, None)
    if first is None:
        raise DataError(f"--file {file}: the file is empty; expected one text a line")
    return chain([first], lines)


def _decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    with stream:
        # only \n ends a line: a text may hold any other separator that Unicode knows
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{name}:{number}: not UTF-8 (byte 0x{line[error.start]:02x}); convert it, "
                    "for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
                ) from None


def find(path: Path) -> Path:
    """The adapter folder in `path`: itself, or that of a run's best seed on source dev.

    Raises `RunError` when there is none, or none that can be trusted.
    """
    if (path / "adapter_config.json").is_file():
        return path
    best: tuple[float, Path] | None = None
    failed = []
    for manifest in sorted((path / "train").glob(f"*/{MANIFEST}")):
        notes = json.loads(manifest.read_text(encoding="utf-8"))["notes"]
        folder = manifest.parent / "adapter"
        if notes["status"] != "ok":
            failed.append(f"{folder} ({notes['status']})")
        elif best is None or notes["dev"] > best[0]:
            best = (notes["dev"], folder)
    if best is not None:
        return best[1]
    if failed:
        raise RunError(
            f"{path}: no seed of this run can be trusted; to use one all the same, name its "
            f"folder: {', '.join(failed)}"
        )
    if (path / "adapter" / "adapter_config.json").is_file():
        return find(path / "adapter")
    raise RunError(
        f"{path}: no adapter here: expected adapter_config.json, or a finished run's folder "
        "(see `lowres ls runs`)"
    )


def locate(name: str, folder: Path, allow_pickle: bool = False) -> bases.LocatedBase:
    """The base an adapter was trained on: by the recipe's short name, else as peft wrote it (the
    recipe's own words may be a path relative to where it ran)."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    known = name if name in bases.ROWS else config["base_model_name_or_path"]
    return bases.locate(known, config.get("revision"), allow_pickle)


def _meta(file: Path) -> dict[str, Any]:
    config = stacking.read_config(file.parent)
    if not file.is_file() and config.get("task_type") == _FEATURES:
        raise RunError(
            f"{file.parent}: a language adapter, without a task: train one on it (a recipe with "
            "adapt), or load it with peft for its vectors"
        )
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        meta = None
    if not isinstance(meta, dict) or META_KEYS - meta.keys():
        raise RunError(
            f"{file}: expected a JSON object with {', '.join(sorted(META_KEYS))}, as `lowres run` "
            "writes it; an adapter of another tool loads with peft"
        )
    return meta


def task_of(meta: dict[str, Any]) -> TaskOptions:
    """The task that `labels.json` names."""
    task: TaskOptions = registry.module("tasks", meta["task"]["name"]).Options(**meta["task"])
    return task


def load(
    path: Path,
    quantization: str | None = None,
    allow_pickle: bool = False,
    language: str | None = None,
    trimmed: bool = False,
) -> Adapter:
    """Load an adapter folder or a run folder.

    Args:
        path: the folder.
        language: take the adapter of this FLORES code where the run made one a language.
        trimmed: over the table that the run's `tokenizer.trim` has chosen; pieces that the study
            did not need read as unknown.
        quantization: `8bit`, `4bit`, `none`; by default what it was trained with.
        allow_pickle: load a base whose weights are pickled (such files can run code).

    Raises:
        RunError: when the folder holds no adapter of lowres, or one of another base or tokenizer.
    """
    common = find(path)
    folder = common if language is None else adapter_files.of(common, language)
    meta = _meta(folder / adapter_files.LABELS_FILE)
    task = task_of(meta)
    options = Base(
        name=meta["base"],
        quantization=quantization or meta["quantization"],
        allow_pickle=allow_pickle,
    )
    hardware = detect()
    located = locate(options.name, folder, allow_pickle)
    adapter_files.check(folder, meta, located)
    if trimmed:
        located = replace(located, kept=str(_kept_file(folder)))
    base = model.load_base(located, options, task, meta["labels"], hardware)
    network = adapter_files.load_adapter(base, folder)
    return Adapter(
        network,
        adapter_files.tokenizer_of(folder, located),
        task,
        tuple(meta["labels"]),
        meta["max_tokens"],
        hardware,
        notes=(*_own_adapters(common, language), *_other_copy(meta, located)),
    )


def _kept_file(folder: Path) -> Path:
    """Of the run that an adapter lies in."""
    places = [above / KEPT for above in folder.resolve().parents]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise RunError(
            f"--trimmed: {folder} lies in no run with a trimmed table; add tokenizer.trim to its "
            "recipe and run it again, or leave --trimmed out"
        )
    return found


def _own_adapters(common: Path, language: str | None) -> tuple[str, ...]:
    own = sorted(entry.name for entry in adapter_files.of_language(common, "x").parent.glob("*_*"))
    if not own or language is not None:
        return ()
    return (f"{', '.join(own)} have adapters of their own, which --lang CODE takes",)


def _other_copy(meta: dict[str, Any], located: bases.LocatedBase) -> tuple[str, ...]:
    then, now = str(meta.get("base_obtained", located.obtained)), located.obtained
    if then.startswith("rebuilt") == now.startswith("rebuilt"):
        return ()
    return (
        f"trained over a copy of {located.name} that was had as: {then}; this one: {now}; "
        "probabilities differ a little",
    )
