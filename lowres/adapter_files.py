"""Adapters as folders: what is saved, how plain peft and lowres load it again.

An adapter that stands on an extended vocabulary or on a language adapter holds all of it: one LoRA,
its head, the new rows under peft's own key, the tokenizer. See `stacking.py`.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import bases, extension, model, quiet, stacking, trained
from lowres import rows as new_rows
from lowres.errors import RunError
from lowres.int8 import Int8Embedding
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LABELS_FILE = "labels.json"
TOKENIZER_FILE = "tokenizer.json"
META_KEYS = {"base", "labels", "max_tokens", "quantization", "task"}


def save_adapter(
    network: Any,
    folder: Path,
    located: bases.LocatedBase,
    task: TaskOptions,
    labels: Sequence[str],
    max_tokens: int,
    quantization: str,
) -> None:
    """peft's own format, naming the base by its Hub id where it has one; label names beside it."""
    config = network.peft_config["default"]
    config.base_model_name_or_path = located.hub_id or located.path
    config.revision = located.revision
    config.inference_mode = True
    network.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    meta = {
        "labels": list(labels),
        "task": task.model_dump(mode="json"),
        "base": located.name,
        "base_obtained": located.obtained,
        "vocabulary_sha256": extension.vocabulary_of(
            Path(located.extension if located.extension is not None else located.path)
        ),
        "quantization": quantization,
        "max_tokens": max_tokens,
    }
    # peft's card is a form that nobody filled in
    (folder / "README.md").unlink(missing_ok=True)
    (folder / LABELS_FILE).write_text(
        json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    for language, its in located.per_language:
        copy = of_language(folder, language)
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        complete(network, copy, located, its)
    complete(network, folder, located, located.language)


def of_language(adapter: Path, language: str) -> Path:
    """Where the adapter of one language lies beside the common one of a run."""
    return adapter.with_name(stacking.ADAPTERS) / language


def of_languages(adapter: Path) -> dict[str, Path]:
    """The adapters of single languages: beside the common one of a run, inside a published one."""
    places = (adapter.with_name(stacking.ADAPTERS), adapter / stacking.ADAPTERS)
    found = [file.parent for at in places for file in at.glob(f"*_*/{stacking.CONFIG}")]
    return {folder.name: folder for folder in sorted(found, key=lambda folder: folder.name)}


def of(adapter: Path, language: str) -> Path:
    """The adapter that answers a language: its own where there is one, or the common one."""
    return of_languages(adapter).get(language, adapter)


def load_adapter(base: PreTrainedModel, folder: Path, trainable: bool = False) -> PeftModel:
    """An adapter, its head and its rows over a loaded base.

    The rows are looked up beside the base's table; plain peft would copy the table at each pass.
    """
    from peft import PeftConfig, PeftModel

    assert not stacking.find(base), "load the plain base: the adapter holds all it stands on"
    plain = stacking.read_config(folder)
    brought = stacking.read_rows(folder, plain)
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = not trainable
    if brought is not None:
        new_rows.extend(base, *brought)
        config.trainable_token_indices = None
    with quiet.peft(), warnings.catch_warnings():
        # said in one line, and as an error, by `_check_whole`
        warnings.filterwarnings("ignore", "Found (missing|unexpected)")
        try:
            network: PeftModel = PeftModel.from_pretrained(
                base, str(folder), is_trainable=trainable, config=config
            )
        except KeyError as error:  # of a module that was saved whole
            raise RunError(
                f"{folder}: is no adapter of this base: {error.args[0]} is missing; give the base "
                "that it was trained on, or copy the adapter again"
            ) from error
    _check_whole(network, folder, brought is not None)
    if not trainable and plain["target_modules"] == trained.NO_LORA:
        # it may hold the whole base
        trained.forget_originals(network)
    return network.eval()


def _check_whole(network: PeftModel, folder: Path, has_rows: bool) -> None:
    """Raise `RunError` where the file and the network have not the same weights: peft fills what
    is missing at random, and drops what is too much, with a warning."""
    from peft import get_peft_model_state_dict

    # told not to save the table, it does not ask the Hub whether there is one
    state = get_peft_model_state_dict(network, save_embedding_layers=False)
    wanted = {key for key in state if not key.endswith(stacking.ROWS_KEY)}
    stored = {key for key in stacking.names(folder) if not key.endswith(stacking.ROWS_KEY)}
    if wanted != stored:
        first = sorted(wanted ^ stored)[0]
        raise RunError(
            f"{folder}: is no adapter of this base: {len(wanted - stored)} weights are missing and "
            f"{len(stored - wanted)} are too many ({first}); give the base that it was trained on"
        )


def read_meta(folder: Path) -> dict[str, Any]:
    """An adapter's `labels.json`. Raises `RunError` for one that lowres has not written."""
    file = folder / LABELS_FILE
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        meta = None
    if not isinstance(meta, dict) or META_KEYS - meta.keys():
        raise RunError(
            f"{file}: expected a JSON object with {', '.join(sorted(META_KEYS))}, as `lowres run` "
            "writes it; copy the adapter again"
        )
    labels, longest = meta["labels"], meta["max_tokens"]
    named = isinstance(labels, list) and labels and all(isinstance(one, str) for one in labels)
    if not named or not isinstance(longest, int) or not isinstance(meta["base"], str):
        raise RunError(
            f"{file}: expected labels as a list of names, max_tokens as a number, base as a name; "
            "copy the adapter again"
        )
    return meta


def check(folder: Path, meta: Mapping[str, Any], located: bases.LocatedBase) -> None:
    """Raise `RunError` where an adapter's own words say that base or tokenizer is another one."""
    config = stacking.read_config(folder)
    trained_on = config.get("base_model_name_or_path")
    if located.hub_id is not None and bases.is_hub_id(trained_on) and trained_on != located.hub_id:
        raise RunError(
            f"{folder}: {LABELS_FILE} names {meta['base']} ({located.hub_id}), {stacking.CONFIG} "
            f"{trained_on}: the files are of different adapters; copy it again"
        )
    own = (folder / TOKENIZER_FILE).is_file()
    if stacking.token_ids(config) and not own:
        raise RunError(
            f"{folder}: has rows of new pieces and no {TOKENIZER_FILE} that knows them; copy the "
            "whole folder"
        )
    expected = meta.get("vocabulary_sha256")
    found = extension.vocabulary_of(folder if own else Path(located.path))
    if expected is not None and found is not None and found != expected:
        whose = f"{TOKENIZER_FILE} in it" if own else f"the tokenizer of {located.name}"
        raise RunError(
            f"{folder}: {whose} is not the one that it was trained with (other pieces, or another "
            "order); copy the adapter again, with all its files"
        )


def tokenizer_of(folder: Path, located: bases.LocatedBase) -> PreTrainedTokenizerBase:
    """The tokenizer that an adapter was trained with: its own where it has one, or the base's."""
    if not (folder / TOKENIZER_FILE).is_file():
        return model.load_tokenizer(located)
    return model.load_tokenizer(dataclasses.replace(located, extension=str(folder)))


def complete(network: Any, folder: Path, located: bases.LocatedBase, language: str | None) -> None:
    """Make what peft wrote for the task alone an adapter that holds all it stands on, in place.

    Args:
        network: the task model.
        folder: the adapter's.
        located: the base that it was trained on.
        language: folder of the language adapter to take, or None.
    """
    under = stacking.read(Path(language)) if language is not None else None
    brought = stacking.rows_under(located.extension, under)
    if under is None and brought is None:
        return
    inner = network.get_base_model()
    path = model.embedding_path(inner)
    stacking.combine(folder, under, brought, inner.base_model_prefix, path)
    if located.extension is not None:
        model.load_tokenizer(located).save_pretrained(str(folder))
        # which pieces are new, what they were learnt on, and where each row started
        shutil.copyfile(Path(located.extension) / extension.META, folder / extension.META)


def set_adapter(network: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give LoRA and the head these weights, named as in `adapter_model.safetensors`."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(network, weights)


def take_up(network: Any, folder: Path, located: bases.LocatedBase) -> None:
    """Give a task model, as `lora.attach` made it, the task's own weights of a saved adapter.

    What `complete` joined to them (language adapter, rows) is taken off again: the model stands on
    it already. Raises `RunError` when the adapter is of another shape.
    """
    from peft import get_peft_model_state_dict

    language = stacking.read(Path(located.language)) if located.language is not None else None
    config = network.peft_config["default"].to_dict()
    own = get_peft_model_state_dict(network, save_embedding_layers=False)
    found = stacking.taken_apart(folder, language, stacking.scale_of(config))
    lacking = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if lacking:
        raise RunError(
            f"{folder}: is no adapter of this recipe: {lacking[0]} is missing or of another shape; "
            "remove the run folder, or give the recipe another name"
        )
    set_adapter(network, {name: found[name] for name in own})


def count_parameters(network: Any) -> tuple[int, int]:
    """All parameters (quantised ones by their true number) and those that train."""
    trainable, total = network.get_nb_trainable_parameters()
    tables = (module for module in network.modules() if isinstance(module, Int8Embedding))
    return int(total) + sum(table.codes.numel() for table in tables), int(trainable)
