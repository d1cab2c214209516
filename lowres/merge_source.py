"""What `merge.py` merges: an adapter over its float base, made by lowres or by another script."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError, safe_open

from lowres import adapter_files, bases, model, predict, registry, stacking
from lowres.errors import RunError
from lowres.hardware import Hardware
from lowres.recipe import Base
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CPU: Final = Hardware("cpu", "fp32")
TASKS: Final = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging"}
"""By peft's `task_type`, for adapters that no labels.json says more of."""
PROBE_TOKENS: Final = 64
"""Longest probe where the adapter does not say how long its texts were."""
_OUTPUT: Final = re.compile(r"(?:^|\.)classifier(?:\.out_proj)?\.weight$")
"""The layer of a head that has one row a label, in every architecture that lowres knows."""


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
    beside = adapter_files.of_language(folder, "")
    found = beside.glob(f"*/{stacking.CONFIG}") if beside.is_dir() else ()
    languages = sorted(file.parent.name for file in found)
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
    return adapter_files.of_language(folder, language)


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
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    config = stacking.read_config(folder)
    tuners: dict[Any, Any] = dict(PEFT_TYPE_TO_TUNER_MAPPING)
    kind = config.get("peft_type")
    if not hasattr(tuners.get(kind), "merge_and_unload"):
        raise RunError(
            f"{folder}: cannot be merged: {kind} adds nothing to the weights of "
            "the base; use it with peft"
        )
    kind, name = config.get("task_type"), config.get("base_model_name_or_path")
    if kind not in TASKS or not isinstance(name, str):
        raise RunError(
            f"{folder / stacking.CONFIG}: task_type {kind}, base {name}: expected task_type "
            f"{' or '.join(TASKS)} and the base it was trained on; there is no labels.json beside "
            "it to say so either"
        )
    shapes = _shapes(folder)
    outputs = [shape[0] for key, shape in shapes.items() if _OUTPUT.search(key)]
    if len(outputs) != 1:
        raise RunError(
            f"{folder / stacking.WEIGHTS}: holds no trained head (a layer called classifier): a "
            "merged model would answer at random; save the adapter with modules_to_save"
        )
    task: TaskOptions = registry.module("tasks", TASKS[kind]).Options(name=TASKS[kind])
    located = bases.locate(name, config.get("revision"), allow_pickle)
    options = Base(name=name, quantization="none", allow_pickle=allow_pickle)
    labels = [f"LABEL_{index}" for index in range(outputs[0])]
    base = model.load_base(located, options, task, labels, CPU)
    _check_head(base, task, shapes, located, folder)
    _resize(base, shapes, stacking.token_ids(config))
    network = _on(base, folder, name)
    note = (
        f"{folder}: has no labels.json, so these are not known: the labels' names (LABEL_0 … in "
        "config.json, rename them there), whether a text may have several, how long texts were, "
        "and how the base was quantised in training"
    )
    tokenizer = adapter_files.tokenizer_of(folder, located)
    return Source(network, tokenizer, task, PROBE_TOKENS, name, None, (note,))


def _resize(base: PreTrainedModel, shapes: dict[str, list[int]], ids: list[int]) -> None:
    """Give the table as many rows as in training: peft saves a resized one, or single rows."""
    path = f"{stacking.PREFIX}{model.embedding_path(base)}"
    names = (f"{path}.weight", f"{path}.token_adapter.base_layer.weight")
    saved = [shapes[name][0] for name in names if name in shapes]
    table: Any = base.get_input_embeddings()
    rows = max(saved or [table.num_embeddings, *(index + 1 for index in ids)])
    if rows != table.num_embeddings:
        base.resize_token_embeddings(rows, mean_resizing=False)


def _on(base: PreTrainedModel, folder: Path, name: str) -> Any:
    """What peft makes of it. Raises `RunError` where peft fails, or fills weights in at random."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            network = PeftModel.from_pretrained(base, str(folder))
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{folder}: peft cannot put it on {name} ({reason})") from error
    lost = [str(one.message) for one in said if "missing adapter keys" in str(one.message)]
    if lost:
        reason = " ".join(lost[0].split())[:200]
        raise RunError(f"{folder}: is not whole, or not of {name}: peft says: {reason}")
    return network.eval()


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Shape of every tensor of an adapter, by its key."""
    file = folder / stacking.WEIGHTS
    try:
        with safe_open(file, framework="pt") as weights:
            keys = list(weights.keys())
            return {key: list(weights.get_slice(key).get_shape()) for key in keys}
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{file}: cannot be read ({error}); save the adapter again with safetensors"
        ) from error


def _check_head(
    base: PreTrainedModel,
    task: TaskOptions,
    adapter: dict[str, list[int]],
    located: bases.LocatedBase,
    folder: Path,
) -> None:
    """Raise `RunError` for a head of which a part was never saved: it would be a random one."""
    stored = {key.removeprefix(stacking.PREFIX) for key in adapter}
    files = list(Path(located.path).glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="pt") as weights:
            stored |= {key.removeprefix(f"{base.base_model_prefix}.") for key in weights.keys()}  # noqa: SIM118
    heads = bases.head_modules(base.config.model_type, task.model_class)
    lost = [
        path
        for path, _ in base.named_parameters()
        if any(path.startswith(f"{head}.") for head in heads)
        and not {path, path.removeprefix(f"{base.base_model_prefix}.")} & stored
    ]
    if files and lost:
        raise RunError(
            f"{folder}: {', '.join(lost)} of the head is neither in the adapter nor in "
            f"{located.name}, so what it was in training is lost; save it with modules_to_save"
        )
