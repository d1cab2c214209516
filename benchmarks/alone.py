"""A process of its own for each side, and what a process holds."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def call(function: Callable[..., Any], *given: Any) -> Any:
    """What a function of a module answers in a fresh process with one thread of torch.

    Raises `RuntimeError` when the process ends without an answer, with its exit status: -9 is what
    the kernel does where memory is full.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(function, given, theirs))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"{function.__name__}: its process ended with {process.exitcode} and no answer"
        ) from None
    process.join()
    return answer


def _serve(function: Callable[..., Any], given: Sequence[Any], pipe: Any) -> None:
    import torch

    from lowres import quiet

    quiet.libraries()
    torch.set_num_threads(1)
    sys.stdout = sys.stderr  # what libraries print does not belong into a table
    pipe.send(function(*given))


def status_mb(key: str) -> float:
    """A line of `/proc/self/status`."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(row for row in text.splitlines() if row.startswith(key)).split()[1]) / 1024


def settled() -> float:
    """Resident MB, once what is free has been given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return status_mb("VmRSS")


def held_from_here() -> float:
    """MB that are held now, by the process or on its GPU; the peak begins again."""
    if not _on_gpu():
        before = settled()
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        return before
    import torch

    reserved = _reserved()
    torch.cuda.reset_peak_memory_stats()
    return reserved


def most_held() -> float:
    """The peak since then, or since the process began, MB: of resident memory, or on a GPU of what
    torch reserved of it."""
    if not _on_gpu():
        return status_mb("VmHWM")
    import torch

    return torch.cuda.max_memory_reserved() / 2**20


def kept_mb(tensors: Iterable[Any] = ()) -> float:
    """MB that nobody but this process can free: on a GPU what torch has reserved; on a processor
    anonymous memory, and those of `tensors` that are mapped from a file, which they need. Other
    pages of a mapped file are resident as long as the system has no better use for them."""
    if _on_gpu():
        return _reserved()
    settled()
    return status_mb("RssAnon") + mapped_mb(tensors)


def mapped_mb(tensors: Iterable[Any]) -> float:
    """MB of tensors of a processor that lie in files which are mapped into memory."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    # address, rights, offset, device, inode, path: anonymous memory has inode 0
    fields = [line.split(maxsplit=5) for line in lines]
    places = [[int(end, 16) for end in one[0].split("-")] for one in fields if one[4] != "0"]
    found = {tensor.data_ptr(): tensor.nbytes for tensor in tensors}
    inside = (n for at, n in found.items() if any(first <= at < end for first, end in places))
    return sum(inside) / 2**20


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _reserved() -> float:
    """MB of the GPU, once what is free has been given back."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved() / 2**20


@dataclass(frozen=True)
class Finished:
    """A command that is through: seconds by the clock and of processor time, what it printed."""

    wall_s: float
    processor_s: float
    stdout: str


def command(words: Sequence[str], fine: Sequence[int] = (0,)) -> Finished:
    """Run a command to its end, start and all. Ends the benchmark where it fails.

    Args:
        words: of the command.
        fine: exit statuses that are no failure.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in fine:
        sys.exit(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(wall, used, done.stdout)


def lowres_command() -> list[str]:
    """`lowres` of this environment."""
    script = Path(sys.executable).with_name("lowres")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "lowres"]
