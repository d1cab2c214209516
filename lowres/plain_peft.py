"""An adapter of another peft script: its config and its weights are all that is known of it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError, safe_open

from lowres import adapter_files, bases, hub_adapters, model, registry, stacking
from lowres.errors import RunError
from lowres.hardware import Hardware
from lowres.recipe import Base
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TASKS: Final = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging"}
"""By peft's `task_type`, for adapters that no labels.json says more of."""
LABEL: Final = "LABEL_{}"
"""What transformers calls a label that nobody named."""
_OUTPUT: Final = re.compile(r"(?:^|\.)classifier(?:\.out_proj)?\.weight$")
"""The layer of a head that has one row a label, in every architecture that lowres knows."""


@dataclass(frozen=True)
class Plain:
    """Such an adapter over its base. `note` says what nothing in it tells."""

    network: Any
    tokenizer: PreTrainedTokenizerBase
    task: TaskOptions
    labels: tuple[str, ...]
    base: str
    located: bases.LocatedBase
    note: str


def load(
    folder: Path, hardware: Hardware, quantization: str, allow_pickle: bool, verb: str
) -> Plain:
    """Load it over its base.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        hardware: where it goes.
        quantization: of the base: `none`, `8bit`, `4bit`.
        allow_pickle: load a base whose weights are pickled (such files can run code).
        verb: what is done with it, for errors: `merged`, `used`.

    Raises:
        RunError: no task or base named, no whole head, weights that are missing or not of the base.
    """
    config = stacking.read_config(folder)
    _check_kind(folder, config, verb)
    kind, name = config.get("task_type"), config.get("base_model_name_or_path")
    if kind not in TASKS or not isinstance(name, str):
        raise RunError(
            f"{folder / stacking.CONFIG}: task_type {kind}, base {name}: expected task_type "
            f"{' or '.join(TASKS)} and the base it was trained on; there is no labels.json beside "
            "it to say so either"
        )
    hub_adapters.check_weights(str(folder), [entry.name for entry in folder.iterdir()])
    sizes = shapes(folder)
    outputs = [shape[0] for key, shape in sizes.items() if _OUTPUT.search(key)]
    if len(outputs) != 1:
        raise RunError(
            f"{folder / stacking.WEIGHTS}: holds no trained head (a layer called classifier): it "
            "would answer at random; save the adapter with modules_to_save"
        )
    task: TaskOptions = registry.module("tasks", TASKS[kind]).Options(name=TASKS[kind])
    located = bases.locate(name, config.get("revision"), allow_pickle)
    options = Base.model_validate(
        {"name": name, "quantization": quantization, "allow_pickle": allow_pickle}
    )
    labels = tuple(LABEL.format(index) for index in range(outputs[0]))
    base = model.load_base(located, options, task, labels, hardware)
    _check_head(base, task, sizes, located, folder)
    _resize(base, sizes, stacking.token_ids(config))
    network = _on(base, folder, name)
    note = (
        f"{folder}: has no labels.json, so these are not known: the labels' names (they are called "
        "LABEL_0 … in the order of the head), whether a text may have several, how long texts "
        "were, and how the base was quantised in training"
    )
    tokenizer = adapter_files.tokenizer_of(folder, located)
    return Plain(network, tokenizer, task, labels, name, located, note)


def longest(found: Plain, most: int) -> int:
    """Sub-words that its base reads at once, special ones among them, and at most `most`."""
    # RoBERTa and its like count positions from behind the padding id on
    positions = int(getattr(found.network.config, "max_position_embeddings", most + 2)) - 2
    told = int(found.tokenizer.model_max_length)
    return max(16, min(most, positions, told))


def _check_kind(folder: Path, config: dict[str, Any], verb: str) -> None:
    """Raise `RunError` for what is no change of the weights: made-up tokens before the text."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    tuners: dict[Any, Any] = dict(PEFT_TYPE_TO_TUNER_MAPPING)
    kind = config.get("peft_type")
    if kind is not None and not hasattr(tuners.get(kind), "merge_and_unload"):
        raise RunError(
            f"{folder}: cannot be {verb}: {kind} adds nothing to the weights of "
            "the base; use it with peft"
        )


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


def shapes(folder: Path) -> dict[str, list[int]]:
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
