"""Load a quantised model without ever holding it in float.

transformers quantises linear layers one after another, but leaves embeddings in float and maps
the weights' file into memory, where all that was read stays counted. Here embeddings are put into
int8 too, by blocks of rows, and every tensor is read by itself and let go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres import hardware
from lowres.errors import BaseModelError
from lowres.int8 import BLOCK_ROWS, Int8Decoder, Int8Embedding

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""As safetensors names them (https://github.com/huggingface/safetensors#format)."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of `mallopt`, see malloc.h of glibc; where they move by themselves they go up to the values that
are set afterwards."""


def load(
    auto: Any, folder: Path, config: Any, dtype: torch.dtype, allow_pickle: bool, **known: Any
) -> Any:
    """What `auto.from_pretrained(folder, config=config, ...)` gives for a quantised model, with its
    input embeddings, and a masked-LM decoder that is tied to them, in int8.

    Args:
        auto: one of transformers' Auto classes.
        folder: of a checkpoint in safetensors, of one file or several.
        config: of the model.
        dtype: of what stays float, and of the vectors that are looked up.
        allow_pickle: read pytorch_model*.bin where there is no file in safetensors.
        known: what else `from_pretrained` takes.

    Raises:
        BaseModelError: the checkpoint has no table of input embeddings.
    """
    with _given_back(), ExitStack() as stack:
        tensors = _tensors(folder, allow_pickle, stack)
        embeddings = stack.enter_context(_embeddings_left_out())
        kind = auto._model_mapping[type(config)]
        model = kind.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype, **known)
        (found,) = embeddings
        key = found.key_in(tensors)
        if key is None:
            raise BaseModelError(
                f"{folder}: no tensor of input embeddings ({found.names[0]}); set "
                "base.quantization: none"
            )
        _put_in(model, found, _blocks(folder, key, tensors[key]), dtype)
    # without a folder's name transformers forgets where the model is from; peft writes it down
    model.name_or_path = model.config._name_or_path = str(folder)
    return model


@contextmanager
def _given_back() -> Iterator[None]:
    """While tensors are read and let go, glibc gives their memory back at once.

    By itself it would keep all that was freed for later: as much as the model in float. Afterwards
    it is as a long-running process has it, for training takes and frees the same again and again.
    """
    libc = hardware.glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, 2**18)
    try:
        yield
    finally:
        libc.malloc_trim(0)
        libc.mallopt(_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_TRIM_THRESHOLD, 2**26)


def _tensors(folder: Path, allow_pickle: bool, stack: ExitStack) -> dict[str, Any]:
    """Every tensor of a checkpoint by its name, read when it is sliced."""
    from safetensors import safe_open

    safe = (folder / _WEIGHTS).is_file() or (folder / _INDEX).is_file()
    if allow_pickle and not safe:
        return _pickled(folder)
    tensors = {}
    for name in _files(folder):
        # by reading and not by mapping: what is mapped counts as memory until the file is closed
        file = stack.enter_context(safe_open(name, framework="pt", backend="pread"))
        tensors.update({key: file.get_slice(key) for key in file.keys()})  # noqa: SIM118
    return tensors


def _files(folder: Path) -> list[Path]:
    """The files of a checkpoint in safetensors."""
    if not (folder / _INDEX).is_file():
        return [folder / _WEIGHTS]
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    return [folder / name for name in sorted(set(index["weight_map"].values()))]


def _pickled(folder: Path) -> dict[str, Any]:
    """The tensors of `pytorch_model*.bin`, left in the file until they are read."""
    tensors: dict[str, Any] = {}
    for file in sorted(folder.glob("pytorch_model*.bin")):
        tensors.update(torch.load(file, map_location="cpu", mmap=True, weights_only=True))
    return tensors


def _blocks(folder: Path, key: str, tensor: Any) -> Iterator[torch.Tensor]:
    """A tensor of a checkpoint, some rows at a time."""
    if isinstance(tensor, torch.Tensor):
        yield from tensor.split(BLOCK_ROWS)
        return
    # not by slices of safetensors 0.8: they read the whole tensor for each
    for name in _files(folder):
        with name.open("rb") as file:
            start = 8 + (length := int.from_bytes(file.read(8), "little"))
            described = json.loads(file.read(length)).get(key)
            if described is None:
                continue
            rows, width = described["shape"]
            kind = _TYPES[described["dtype"]]
            file.seek(start + described["data_offsets"][0])
            for first in range(0, rows, BLOCK_ROWS):
                count = min(BLOCK_ROWS, rows - first)
                read = bytearray(file.read(count * width * kind.itemsize))
                yield torch.frombuffer(read, dtype=kind).view(count, width)


class _Absent(nn.Module):
    """Stands where embeddings or a decoder will, so that nothing is read or drawn for them."""

    def __init__(self, shape: torch.Size, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        # no parameter: transformers would look for it in the checkpoint, and make it without
        self.weight = torch.empty(shape, device="meta")
        self.weight._is_hf_initialized = True  # type: ignore[attr-defined]
        self.register_parameter("bias", bias)


@dataclass(frozen=True)
class _Embeddings:
    """The input embeddings of a model that is about to be loaded."""

    shape: torch.Size
    decodes: bool
    """Whether the decoder of a masked-LM head is tied to them."""
    names: tuple[str, ...]
    """What a checkpoint may call their table."""

    def key_in(self, tensors: dict[str, Any]) -> str | None:
        """The checkpoint's name of the table; it may lack the prefix of a head's encoder, or have
        one where the bare encoder has none."""
        for name in self.names:
            for key in tensors:
                if key == name or key.endswith(f".{name}") or name.endswith(f".{key}"):
                    return key
        return None


@contextmanager
def _embeddings_left_out() -> Iterator[list[_Embeddings]]:
    """While models are loaded, bitsandbytes' quantisers leave embeddings to us as well.

    Yields a list that gets an item for each model.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    found: list[_Embeddings] = []

    def leaving(quantiser: Any) -> Any:
        class Leaving(quantiser):
            """Takes the table out of the model before anything is read into it."""

            def _process_model_before_weight_loading(self, model: Any, **known: Any) -> None:
                super()._process_model_before_weight_loading(model, **known)
                found.append(_take_out(model))

        return Leaving

    before = dict(AUTO_QUANTIZER_MAPPING)
    changed = ("bitsandbytes_8bit", "bitsandbytes_4bit")
    AUTO_QUANTIZER_MAPPING.update({name: leaving(before[name]) for name in changed})
    try:
        yield found
    finally:
        AUTO_QUANTIZER_MAPPING.update(before)


def _take_out(model: Any) -> _Embeddings:
    """Take the input embeddings out of a model on the meta device, and a decoder tied to them."""
    table = model.get_input_embeddings()
    names = [f"{_path(model, table)}.weight"]
    decoder = model.get_output_embeddings()
    if isinstance(decoder, nn.Linear):
        name = f"{_path(model, decoder)}.weight"
        if model.all_tied_weights_keys.pop(name, None) is not None:
            names.append(name)
            model.set_output_embeddings(_Absent(decoder.weight.shape, decoder.bias))
    model.set_input_embeddings(_Absent(table.weight.shape))
    return _Embeddings(table.weight.shape, len(names) > 1, tuple(names))


def _path(model: Any, wanted: nn.Module) -> str:
    return str(next(path for path, module in model.named_modules() if module is wanted))


def _put_in(
    model: Any, found: _Embeddings, blocks: Iterator[torch.Tensor], dtype: torch.dtype
) -> None:
    """Give a loaded model the embeddings that were left out."""
    rows, width = found.shape
    codes = torch.empty(rows, width, dtype=torch.int8, device=model.device)
    table = Int8Embedding(codes, torch.empty(rows, device=model.device), dtype)
    table.fill(blocks)
    model.set_input_embeddings(table)
    if found.decodes:
        model.set_output_embeddings(Int8Decoder(table, model.get_output_embeddings().bias))
