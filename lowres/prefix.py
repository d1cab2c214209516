"""The lowest blocks of an encoder where nothing in them trains: what they give is computed once.

Blocks below the first one with LoRA are a function of the text alone. They run without dropout,
cached or not, and what the highest of them gives is kept in float16 in a file, for every epoch,
seed and evaluation. A file is used if its seal names the same base, text and format, and holds
(`sealed.py`).
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from lowres import artifacts, blocks, inference, rows, sealed, stacking
from lowres.hardware import Hardware

if TYPE_CHECKING:
    from lowres.bases import LocatedBase

FOLDER: Final = ".states"
DISK_SHARE: Final = 0.25
"""Of the free disk, what the files of a run may take; the ones used longest ago go first."""

States = Sequence[np.ndarray]
"""[tokens, hidden] in float16 for every window."""
Pairs = Iterator[tuple[int, np.ndarray]]
"""A window's number and its states."""


class Store:
    """Files of hidden states in a folder, removed with it."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self._folder = folder
        self._say = say

    def get(
        self, key: dict[str, Any], lengths: Sequence[int], width: int, make: Callable[[], Pairs]
    ) -> States | None:
        """States that were kept under a key, or else made now and kept; None where the disk has
        no room for them.

        Args:
            key: plain data, all that the states depend on.
            lengths: tokens of every window.
            width: of a state.
            make: gives (window, its states) in any order.
        """
        name = artifacts.fingerprint(key)
        data, seal = self._folder / f"{name}.f16", self._folder / f"{name}.json"
        size = 2 * width * sum(lengths)
        if sealed.broken(seal, "states of the frozen layers", self._say, key):
            if not self._room(size):
                self._say(
                    f"{self._folder}: {size / 2**20:,.0f} MB of frozen layers' states would take "
                    f"more than {DISK_SHARE:.0%} of the free disk; they are computed at each pass"
                )
                return None
            self._write(data, lengths, width, make())
            sealed.seal(seal, [data], key)
        seal.touch()
        return _read(data, lengths, width)

    def _room(self, size: int) -> bool:
        """Whether `size` bytes may be added, after removing what was used longest ago."""
        self._folder.mkdir(parents=True, exist_ok=True)
        seals = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        files = [seal.with_suffix(".f16") for seal in seals]
        sizes = {file: file.stat().st_size for file in files if file.exists()}
        held = sum(sizes.values())
        limit = DISK_SHARE * (shutil.disk_usage(self._folder).free + held)
        if size > limit:
            return False
        for file in files:
            if held + size <= limit:
                break
            held -= sizes.get(file, 0)
            file.with_suffix(".json").unlink()
            file.unlink(missing_ok=True)
        return True

    def _write(self, data: Path, lengths: Sequence[int], width: int, made: Pairs) -> None:
        partial = data.with_suffix(".partial")
        starts = np.concatenate([[0], np.cumsum(lengths)])
        try:
            flat = np.memmap(partial, np.float16, "w+", shape=(int(starts[-1]), width))
            for window, states in made:
                flat[starts[window] : starts[window + 1]] = states
            flat.flush()
            del flat
        except OSError as error:
            raise artifacts.disk_error(error, data) from error
        partial.replace(data)

    def remove(self) -> None:
        """All of it: a run that is over needs no states."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(data: Path, lengths: Sequence[int], width: int) -> States:
    flat = np.memmap(data, np.float16, "r", shape=(sum(lengths), width))
    return np.split(flat, np.cumsum(lengths)[:-1])


class Prefix:
    """The frozen lowest blocks of a network, which can be given states instead of computing them.

    From `__init__` on they and the embeddings are in eval mode, whatever the network is.
    """

    def __init__(
        self,
        network: Any,
        located: LocatedBase,
        kind: str,
        hardware: Hardware,
        store: Store | None,
        count: int,
    ) -> None:
        """`count` blocks of a network over a base in a quantisation of `kind`."""
        self._network = network
        self._store = store
        self._hardware = hardware
        self._blocks = blocks.find(network)[:count]
        self._identity = _identity(network, self._blocks, located, kind, hardware)
        self._now: torch.Tensor | None = None
        self._form: _Form | None = None
        encoder = blocks.encoder_of(network)
        table = encoder.get_input_embeddings()
        below = [child for child in encoder.children() if table in set(child.modules())]
        for module in (*below, *self._blocks):
            module.eval()
            module.train = MethodType(_stay, module)
        for block in self._blocks:
            block.forward = _Given(self, block.forward)

    def __len__(self) -> int:
        """How many blocks."""
        return len(self._blocks)

    def give(self, states: torch.Tensor | None) -> None:
        """What the next forward passes take in place of these blocks, [windows, tokens, hidden];
        None: they compute it."""
        self._now = states

    def of(
        self, rows: Sequence[dict[str, Any]], pad_id: int, batch_tokens: int
    ) -> Callable[[Sequence[int]], None]:
        """See `inference.Frozen`."""
        states = self.states(rows, pad_id, batch_tokens)

        def give(chosen: Sequence[int]) -> None:
            some = None if states is None else padded([states[i] for i in chosen])
            self.give(None if some is None else self._hardware.moved(some))

        return give

    def states(
        self, windows: Sequence[dict[str, Any]], pad_id: int, batch_tokens: int
    ) -> States | None:
        """Of every window, from the store or computed now; None without a store, without room, or
        where they do not fit into float16."""
        if self._store is None or not windows or not self._learnt(windows[0], pad_id):
            return None
        assert self._form is not None, "learnt above"
        texts = [[row["input_ids"], row.get("token_type_ids")] for row in windows]
        key = {**self._identity, "texts": artifacts.fingerprint(texts)}
        lengths = [len(row["input_ids"]) for row in windows]
        try:
            return self._store.get(
                key,
                lengths,
                self._form.width,
                lambda: self._computed(windows, lengths, pad_id, batch_tokens),
            )
        except OverflowError:
            return None

    def given(self) -> Any:
        """The states as a block gives them; None where it has to compute them."""
        if self._now is None:
            return None
        assert self._form is not None, "states were made, and the form learnt"
        states = self._now.to(self._form.dtype)
        return states if self._form.beside is None else (states, *[None] * self._form.beside)

    def _learnt(self, window: dict[str, Any], pad_id: int) -> bool:
        """Whether what a block gives can be given in its place: states, and nothing but None."""
        if self._form is None:
            out = self._run([window], pad_id)
            beside = out[1:] if isinstance(out, tuple) else ()
            if any(each is not None for each in beside):
                return False
            states = out[0] if isinstance(out, tuple) else out
            self._form = _Form(
                states.dtype, int(states.shape[-1]), len(beside) if isinstance(out, tuple) else None
            )
        return True

    def _computed(
        self,
        windows: Sequence[dict[str, Any]],
        lengths: Sequence[int],
        pad_id: int,
        batch_tokens: int,
    ) -> Pairs:
        for chosen in inference.batches(lengths, batch_tokens):
            out = self._run([windows[i] for i in chosen], pad_id)
            found = (out[0] if isinstance(out, tuple) else out).to(torch.float16).cpu().numpy()
            if not np.isfinite(found).all():
                raise OverflowError("states beyond float16")
            for index, states in zip(chosen, found, strict=True):
                yield index, states[: lengths[index]]

    def _run(self, windows: Sequence[dict[str, Any]], pad_id: int) -> Any:
        """What the highest of the blocks gives for a batch; the rest is not computed."""
        inputs = inference.model_inputs(windows, pad_id)
        self.give(None)
        self._network.eval()
        hook = self._blocks[-1].register_forward_hook(_stop)
        try:
            with torch.inference_mode(), self._hardware.autocast():
                self._network(**{k: self._hardware.moved(v) for k, v in inputs.items()})
        except _Enough as enough:
            return enough.args[0]
        finally:
            hook.remove()
        raise AssertionError("a block of the encoder was not run")


@dataclass(frozen=True)
class _Form:
    """What a block gives: states of a type and width, and how many Nones beside them in a tuple;
    None: no tuple."""

    dtype: torch.dtype
    width: int
    beside: int | None


class _Enough(Exception):  # noqa: N818 - an event, not an error
    """Carries what was wanted out of a forward pass."""


def _stop(block: Any, inputs: Any, output: Any) -> None:
    raise _Enough(output)


def _stay(module: Any, mode: bool = True) -> Any:
    """In place of `Module.train`: frozen blocks drop nothing."""
    return module


class _Given:
    """In place of a block's `forward`."""

    def __init__(self, prefix: Prefix, forward: Callable[..., Any]) -> None:
        self._prefix = prefix
        self._forward = forward

    def __call__(self, *inputs: Any, **known: Any) -> Any:
        given = self._prefix.given()
        return self._forward(*inputs, **known) if given is None else given


def of(
    network: Any, located: LocatedBase, kind: str, hardware: Hardware, store: Store | None
) -> Prefix | None:
    """The frozen lowest blocks of a network with LoRA; None where the lowest one trains."""
    count = blocks.frozen(network)
    return Prefix(network, located, kind, hardware, store, count) if count else None


def padded(states: Sequence[np.ndarray]) -> torch.Tensor:
    """[tokens, hidden] of each window to [windows, longest, hidden], padded with zeros."""
    longest = max(map(len, states))
    found = np.zeros((len(states), longest, states[0].shape[-1]), dtype=np.float16)
    for index, one in enumerate(states):
        found[index, : len(one)] = one
    return torch.from_numpy(found)


def _identity(
    network: Any, prefix: Sequence[Any], located: LocatedBase, kind: str, hardware: Hardware
) -> dict[str, Any]:
    """All but the text that the states depend on."""
    files = sorted(file for end in ("*.safetensors", "*.bin") for file in _files(located, end))
    extended = rows.find(network)
    below = [tensor for block in prefix for tensor in stacking.tensors(block)]
    return {
        "base": [located.path, *([f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files)],
        "kept": None if located.kept is None else artifacts.file_hash(Path(located.kept)),
        "quantization": kind,
        "format": [hardware.device, hardware.precision],
        "layers": len(prefix),
        "rows": None if extended is None else _crc(extended.rows),
        "language": [_crc(tensor) for tensor in below],
    }


def _files(located: LocatedBase, end: str) -> Iterator[Path]:
    return Path(located.path).glob(end)


def _crc(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.detach().float().cpu().contiguous().numpy().tobytes())
