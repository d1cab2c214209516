"""A model as `model.onnx`, and proof that onnxruntime gives its logits.

The packages are an extra (`lowres[onnx]`) and are imported by name, only once they are known to be
there.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from lowres.errors import DeviceError, RunError

FILE: Final = "model.onnx"
PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
"""torch's exporter stands on the first two."""
TOLERANCE: Final = 1e-4
"""Largest difference of a logit: onnxruntime sums in another order than torch."""
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_LARGEST_BYTES: Final = 1_900_000_000
"""A file of protobuf ends at 2 GiB; the weights of larger models lie in a file beside it."""
_NOISY: Final = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Exported:
    """What `model.onnx` is, and how far its logits are from torch's at most."""

    opset: int
    inputs: tuple[str, ...]
    widest: float


class _Logits(torch.nn.Module):
    """A model that takes tensors by position and gives logits, as the exporter wants it."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """[batch, sequence] ids each to logits [batch, labels] or [batch, sequence, labels]."""
        found: torch.Tensor = self.model(**dict(zip(self.names, tensors, strict=True))).logits
        return found


def check_installed() -> None:
    """Raise `DeviceError` with the command that installs what is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"--onnx: not installed: {', '.join(missing)}; pip install {' '.join(missing)} "
            "(all of it: the extra lowres[onnx]), or leave --onnx out"
        )


def export(model: Any, file: Path, example: Inputs, batches: Sequence[Inputs]) -> Exported:
    """Write a model with free batch and sequence, then compare it with torch on `batches`.

    Args:
        model: float, on the CPU, with `.logits` in what it gives.
        file: to write; weights of more than 2 GiB go into a file beside it.
        example: inputs that the model is followed on: two rows or more, longer than one piece.
        batches: inputs of other sizes; what a mask leaves out of token logits is not compared.

    Raises:
        RunError: when torch cannot export it, onnxruntime cannot load it, or they differ.
    """
    names = tuple(name for name in INPUTS if name in example)
    program = _written(model, file, names, example)
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        said = [
            session.run(["logits"], {name: inputs[name].numpy() for name in names})[0]
            for inputs in batches
        ]
    except Exception as error:  # onnxruntime has a class for each of its states
        raise RunError(f"--onnx: onnxruntime cannot run {FILE} ({_line(error)})") from error
    widest = max(
        _difference(model, inputs, torch.from_numpy(logits))
        for inputs, logits in zip(batches, said, strict=True)
    )
    if not widest <= TOLERANCE:  # so that NaN is refused
        raise RunError(
            f"--onnx: logits of onnxruntime differ from torch's by {widest:.2g}, at most "
            f"{TOLERANCE:g} is allowed; nothing was written: merge without --onnx"
        )
    return Exported(int(program.model.opset_imports[""]), names, widest)


def _written(model: Any, file: Path, names: Sequence[str], example: Inputs) -> Any:
    """The exporter's program; the file is written."""
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    try:
        with _quiet():
            return torch.onnx.export(
                _Logits(model, names).eval(),
                tuple(example[name] for name in names),
                file,
                input_names=list(names),
                output_names=["logits"],
                dynamic_shapes=(tuple(free for _ in names),),
                external_data=size > _LARGEST_BYTES,
                verbose=False,
            )
    except Exception as error:  # of any kind: the exporter runs the model's own code
        raise RunError(
            f"--onnx: torch cannot export {type(model).__name__} "
            f"({_line(error.__cause__ or error)}); merge without --onnx"
        ) from error


def _difference(model: Any, inputs: Inputs, logits: torch.Tensor) -> float:
    with torch.inference_mode():
        expected = model(**inputs).logits
    apart = (logits - expected).abs()
    if apart.ndim == 3:
        apart = apart[inputs["attention_mask"].bool()]
    return float(apart.max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages and operators that are not of this model."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _line(error: BaseException) -> str:
    """The first line of an error, without colours, at most 160 characters."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    first = (text.splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {first[:160]}"
