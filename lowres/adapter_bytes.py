"""An adapter as the contents of its files, so that it can be part of a pickled object."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowres import artifacts

if TYPE_CHECKING:
    from lowres.predict import Adapter

LOADED = "loaded"


@dataclass(frozen=True, eq=False)
class AdapterBytes:
    """The files of an adapter folder. The base is not among them: it is looked for when it is used,
    where the adapter says (a Hub id, a folder)."""

    files: Mapping[str, bytes]
    """Path inside the folder -> content."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """The number format to answer in, as in `train.precision`."""

    @classmethod
    def read(cls, folder: Path, precision: Any = "auto") -> AdapterBytes:
        """All files of an adapter folder."""
        files = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        return cls(files, precision)

    def write(self, folder: str | Path) -> Path:
        """The adapter folder again, which `lowres predict` and peft read.

        Raises `RunError` where the folder holds something already, or cannot be written.
        """
        with artifacts.new_folder(Path(folder), "folder") as partial:
            self._write(partial)
        return Path(folder)

    def _write(self, folder: Path) -> None:
        for name, content in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    @cached_property
    def loaded(self) -> Adapter:
        """The adapter with its base, loaded once. Raises as `lowres.load` does."""
        from lowres import hardware, predict

        machine = hardware.detect(self.precision)
        # a head is drawn before its weights are read
        with tempfile.TemporaryDirectory(prefix="lowres-") as folder, own_chance():
            self._write(Path(folder))
            found = predict.load(folder)
        return replace(found, hardware=machine, folder=None)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was loaded: it is loaded again where it is used."""
        return {name: value for name, value in self.__dict__.items() if name != LOADED}


@contextmanager
def own_chance() -> Iterator[None]:
    """Leave the caller's generators as they were, whatever seeds them or draws inside."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
