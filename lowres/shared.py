"""What the trainings and evaluations of one process share: a loaded base, tokenizers, windows.

Seeds, variants, targets and baselines stand on one base. It is read once; whoever asks for it gets
a twin: modules of its own over the same frozen tensors, with a head that is drawn anew by the
numbers that loading would have drawn. What peft or a forward pass changes is changed on the twin
alone. The base never has to be mended, and a twin is given up by being forgotten.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from lowres import artifacts, bases, lora, model
from lowres.int8 import Int8Embedding

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lowres.hardware import Hardware
    from lowres.recipe import Base
    from lowres.tasks import TaskOptions

WINDOWS_KEPT: Final = 200_000
"""Tokenised windows that are kept, of all data sets together: of 30 tokens each, 60 MB."""
TOKENIZERS_KEPT: Final = 4
_NOT_DRAWN: Final = "_is_hf_initialized"
"""How transformers marks the parameters that a checkpoint has, and modules that need no drawing."""


@dataclass(frozen=True)
class _Loaded:
    network: PreTrainedModel
    drawn: frozenset[str]
    """Parameters that the checkpoint lacks."""
    draws_on: torch.device
    draws_as: torch.dtype
    """Where and in which type loading draws them."""


class Shared:
    """One base at a time, and the tokenizers and windows that were asked for last."""

    def __init__(self) -> None:
        self._key = ""
        self._loaded: _Loaded | None = None
        self._tokenizers: OrderedDict[str, PreTrainedTokenizerBase] = OrderedDict()
        self._windows: OrderedDict[str, tuple[Dataset, object]] = OrderedDict()

    def base(
        self,
        located: bases.LocatedBase,
        options: Base,
        task: TaskOptions,
        labels: Sequence[str],
        hardware: Hardware,
    ) -> PreTrainedModel:
        """As `model.load_base`, to the last bit; read only where another base was asked for in
        between. What the checkpoint lacks of the head is drawn from torch's generator.

        Raises as `model.load_base` does.
        """
        stamps = [_stamp(at) for at in (located.path, located.extension, located.language)]
        known = [located, stamps, _stamp(located.kept), options, task.model_class, labels, hardware]
        if self._loaded is None or repr(known) != self._key:
            self.forget()
            with torch.random.fork_rng():  # it is the twin that draws
                self._loaded = _load(located, options, task, labels, hardware)
            self._key = repr(known)
        return _twin(self._loaded)

    def forget(self) -> None:
        """Let the base go."""
        self._loaded = None

    def tokenizer(
        self, located: bases.LocatedBase, adapter: Path | None = None
    ) -> PreTrainedTokenizerBase:
        """As `model.load_tokenizer`, once for tokenizers with the same files; that of an adapter's
        folder where it brings its own."""
        own = adapter is not None and (adapter / "tokenizer.json").is_file()
        if own:
            located = dataclasses.replace(located, extension=str(adapter))
        folder = Path(located.extension or located.path)
        key = f"{located.path} {_digest(folder)}"
        if key not in self._tokenizers:
            self._tokenizers[key] = model.load_tokenizer(located)
            if len(self._tokenizers) > TOKENIZERS_KEPT:
                self._tokenizers.popitem(last=False)
        self._tokenizers.move_to_end(key)
        return self._tokenizers[key]

    def windows(
        self,
        task: TaskOptions,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_tokens: int,
    ) -> Dataset:
        """As `task.encode`, once for each text, task and tokenizer."""
        texts = artifacts.fingerprint([examples.to_dict(), list(labels)])
        # `tokenizer` gives one object a digest; it is kept beside, so that no other gets its id
        key = f"{task.model_dump_json()} {max_tokens} {id(tokenizer)} {texts}"
        if key not in self._windows:
            self._windows[key] = task.encode(examples, tokenizer, labels, max_tokens), tokenizer
            while len(self._windows) > 1 and self._kept() > WINDOWS_KEPT:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        return self._windows[key][0]

    def _kept(self) -> int:
        return sum(len(windows) for windows, _ in self._windows.values())


def _stamp(at: str | None) -> tuple[str, int] | None:
    """A folder or file, and when it was last changed."""
    return None if at is None else (at, Path(at).stat().st_mtime_ns)


def _digest(folder: Path) -> str:
    """Of the files that make a tokenizer."""
    files = (folder / name for name in ("tokenizer.json", "tokenizer_config.json"))
    return " ".join(artifacts.file_hash(file) if file.is_file() else "-" for file in files)


def _load(
    located: bases.LocatedBase,
    options: Base,
    task: TaskOptions,
    labels: Sequence[str],
    hardware: Hardware,
) -> _Loaded:
    network = model.load_base(located, options, task, labels, hardware)
    lora.settle_int8(network)
    heads = bases.head_modules(network.config.model_type, task.model_class)
    drawn = frozenset(
        path
        for path, parameter in network.named_parameters()
        if model.within(path, heads) and not getattr(parameter, _NOT_DRAWN, False)
    )
    # an unquantised base is loaded on the processor, and then moved
    on = "cpu" if options.quantization == "none" else hardware.device
    return _Loaded(
        network, drawn, torch.device(on), model.float_type(options.quantization, hardware)
    )


def _twin(loaded: _Loaded) -> PreTrainedModel:
    """Other modules over the same frozen tensors, with a head that is drawn now."""
    network = loaded.network
    twin = copy.deepcopy(network, {id(kept): new for kept, new in _sharing(network)})
    parameters = dict(twin.named_parameters())
    for module in twin.modules():
        setattr(module, _NOT_DRAWN, True)
    for path, parameter in parameters.items():
        setattr(parameter, _NOT_DRAWN, True)
        if path in loaded.drawn:
            owner, _, name = path.rpartition(".")
            module = twin.get_submodule(owner)
            empty = torch.empty(parameter.shape, device=loaded.draws_on, dtype=loaded.draws_as)
            setattr(module, name, nn.Parameter(empty))
            setattr(module, _NOT_DRAWN, False)
    twin.initialize_weights()
    for path in loaded.drawn:
        parameter = twin.get_parameter(path)
        parameter.data = parameter.data.to(parameters[path].device, torch.float32)
    return twin


def _sharing(network: nn.Module) -> Iterator[tuple[Any, Any]]:
    """What a network and its twin have in common, and what stands for it in the twin."""
    for module in network.modules():
        for parameter in module._parameters.values():
            if type(parameter) is nn.Parameter:
                # of its own, so that `module.to(...)` changes the twin alone
                yield parameter, nn.Parameter(parameter.data, parameter.requires_grad)
            elif parameter is not None:
                yield parameter, parameter
        if isinstance(module, Int8Embedding):
            yield module.codes, module.codes
            yield module.scales, module.scales
        # bitsandbytes: 8-bit codes and scales once settled; what 4-bit codes mean
        state = getattr(module, "state", None)
        for held in (getattr(state, "CB", None), getattr(state, "SCB", None)):
            if held is not None:
                yield held, held
        if (meaning := getattr(module, "quant_state", None)) is not None:
            yield meaning, meaning
        for hook in module._forward_hooks.values():
            if not hasattr(hook, "__self__"):  # a language adapter's, see stacking.py
                yield hook, hook
