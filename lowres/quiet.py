"""What the libraries below say that no user of lowres could act on."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def libraries() -> None:
    """Turn off their bars and notes for good, as the commands do; ours say what matters."""
    # it notes kernels that it can do without
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


@contextmanager
def loading() -> Iterator[None]:
    """The bar and the report of weights that transformers gives of every model it loads.

    A base lacks a task's head, always; the report says so each time. As the caller had set it
    afterwards: in a notebook or a script these are the caller's libraries too.
    """
    from transformers.utils import logging as said

    level, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(level)
        if bars:
            said.enable_progress_bar()


@contextmanager
def native() -> Iterator[None]:
    """What compiled code writes on standard error past Python, and Python's own with it."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def peft() -> Iterator[None]:
    """A deprecation between libraries: peft 0.21 reads a name that transformers 5.23 renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield
