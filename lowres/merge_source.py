"""What `merge.py` merges: an adapter over its float base, made by lowres or by another script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lowres import adapter_files, plain_peft, predict
from lowres.errors import RunError
from lowres.hardware import Hardware
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CPU: Final = Hardware("cpu", "fp32")
PROBE_TOKENS: Final = 64
"""Longest probe where the adapter does not say how long its texts were."""


@dataclass(frozen=True)
class Source:
    """An adapter over its float base, on the CPU."""

    network: Any
    tokenizer: PreTrainedTokenizerBase
    task: TaskOptions
    max_tokens: int
    base: str
    trained_over: str | None
    """Quantization of the base in training; None where nothing says."""
    notes: tuple[str, ...] = ()


def choose(path: Path, language: str | None) -> Path:
    """The folder of the adapter that is meant.

    Raises `RunError` where a run has one a language and none is named, or there is no such one.
    """
    folder = predict.find(path)
    languages = adapter_files.of_languages(folder)
    named = ", ".join(languages)
    if language is None:
        if languages and folder != path:
            raise RunError(
                f"{path}: has an adapter each for {named} (adapt.per_language); choose with "
                f"--language CODE, or name {folder} for the one of all other languages"
            )
        return folder
    if language not in languages:
        there = f"there are: {named}" if languages else "it has one for all: leave --language out"
        raise RunError(f"--language {language}: {path} has no adapter of that language; {there}")
    return languages[language]


def load(folder: Path, allow_pickle: bool) -> Source:
    """An adapter's folder over its base in float32, whatever it was trained over.

    Raises `RunError` for what is no adapter with a head, or of which a part is lost.
    """
    labels = folder / adapter_files.LABELS_FILE
    if not labels.is_file():
        return _of_peft(folder, allow_pickle)
    adapter = predict.load(folder, quantization="none", allow_pickle=allow_pickle)
    meta = json.loads(labels.read_text(encoding="utf-8"))
    return Source(
        adapter.network.to("cpu").float(),
        adapter.tokenizer,
        adapter.task,
        adapter.max_tokens,
        meta["base"],
        meta["quantization"],
        adapter.notes,
    )


def _of_peft(folder: Path, allow_pickle: bool) -> Source:
    """An adapter of another script: `adapter_config.json` and the head are all that is known."""
    found = plain_peft.load(folder, CPU, "none", allow_pickle, verb="merged")
    note = f"{found.note}; rename the labels in config.json"
    return Source(
        found.network, found.tokenizer, found.task, PROBE_TOKENS, found.base, None, (note,)
    )
