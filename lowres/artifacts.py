"""The run folder: one lock, stages that are whole or absent, a manifest written last.

A stage works in `.<name>.partial`, which survives a kill so that long work resumes; when done its
manifest is written last and the folder is renamed. Whoever finds a manifest finds a whole stage.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from filelock import FileLock, Timeout

from lowres import events, hardware, recipe_loading
from lowres.energy import EnergyMeter
from lowres.errors import LowresError, RunError

MANIFEST = "manifest.json"
LOCK = ".lock"
RECIPE = "recipe.yaml"
INPUTS = "inputs.txt"
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_BELOW_BYTES = 2**20


@dataclass(frozen=True)
class Manifest:
    """What a finished stage was made from and what it cost."""

    name: str
    inputs: str
    outputs: dict[str, str]
    seconds: float
    peak_mb: float
    notes: dict[str, Any]
    gpu_mb: float | None = None


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits of plain data."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises `RunError` on a full disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> RunError:
    """An `OSError` of the run folder in words; a full disk says how to go on."""
    if error.errno in FULL:
        return _full(path)
    return RunError(
        f"{path}: cannot be written: {error.strerror or error}; give --out another folder"
    )


def full_disk(error: BaseException, path: Path) -> RunError | None:
    """The error in words if a full disk is behind it, else None.

    safetensors and torch meet a full disk with errors of their own that hold no errno: then what
    is left on the disk decides.
    """
    if isinstance(error, OSError):
        return _full(path) if error.errno in FULL else None
    if isinstance(error, LowresError) or not isinstance(error, Exception):
        return None
    return _full(path) if shutil.disk_usage(_existing(path)).free < FULL_BELOW_BYTES else None


def _full(path: Path) -> RunError:
    free_mb = shutil.disk_usage(_existing(path)).free / 2**20
    return RunError(
        f"{path}: the disk is full ({free_mb:.0f} MB free); what was done so far is kept: "
        "free some space and give the same command again, or use --out on another disk"
    )


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def follow_umask(folder: Path) -> None:
    """Give private files (0600, as safetensors writes its own) the rights that new files have."""
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o777 == 0o600:
            file.chmod(0o666 & ~mask)


@contextmanager
def new_folder(final: Path, option: str) -> Iterator[Path]:
    """A folder beside `final` to write into, renamed when the block ends well, else removed.

    Raises `RunError` when something stands there already, or it cannot be written.
    """
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise RunError(f"{option} {final}: exists already; give another folder, or remove it")
    partial = partial_path(final)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        follow_umask(partial)
        if final.exists():
            final.rmdir()
        partial.rename(final)
    except OSError as error:
        raise disk_error(error, final) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class PeakMemory:
    """Peak resident memory of this process in MB while the block runs."""

    def __init__(self, interval_s: float = 0.05) -> None:
        self._interval_s = interval_s
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._peak_bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)
            if self._stop.wait(self._interval_s):
                return

    @property
    def peak_mb(self) -> float:
        """The highest reading so far."""
        return round(self._peak_bytes / 2**20, 1)


def partial_path(final: Path) -> Path:
    """Where a stage works until it is whole."""
    return final.with_name(f".{final.name}.partial")


def _gpu_mb() -> float | None:
    """The most that torch has reserved of the card in this stage, in MB: with what its blocks leave
    unused, without CUDA's own context."""
    cuda = hardware.used_cuda()
    return None if cuda is None else round(cuda.max_memory_reserved() / 2**20, 1)


def _remove_if_unused(partial: Path, top: Path) -> None:
    """A stage that failed before it wrote anything leaves no folder."""
    if partial.is_dir() and {entry.name for entry in partial.iterdir()} <= {INPUTS}:
        shutil.rmtree(partial)
        if partial.parent != top and not any(partial.parent.iterdir()):
            partial.parent.rmdir()


@dataclass
class Stage:
    """A stage in the making: write into `path`, note what the manifest should keep in `notes`."""

    path: Path
    notes: dict[str, Any]


class RunFolder:
    """`runs/<name>-<digest>/`, held by one process at a time. Its stages are told as events."""

    def __init__(self, path: Path, tell: events.OnEvent = events.unheard) -> None:
        self.path = path
        self.tell = tell

    @contextmanager
    def locked(self, recipe_yaml: str) -> Iterator[None]:
        """Hold the folder; whoever leaves before the first stage leaves nothing behind.

        Raises `RunError` when another process holds it, when it belongs to another recipe, or
        when it holds something else.
        """
        self.check(recipe_yaml)
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(
                f"{self.path}: another process runs this recipe here; wait for it, or give "
                "--out another folder"
            ) from error
        except OSError as error:
            raise disk_error(error, self.path) from error
        try:
            if not (self.path / RECIPE).exists():
                write_text(self.path / RECIPE, recipe_yaml)
            yield
        finally:
            lock.release()
            self._remove_if_bare(made)

    def _remove_if_bare(self, made: list[Path]) -> None:
        if {entry.name for entry in self.path.iterdir()} <= {LOCK, RECIPE}:
            for name in (LOCK, RECIPE):
                (self.path / name).unlink(missing_ok=True)
            for folder in made:
                if not any(folder.iterdir()):
                    folder.rmdir()

    def check(self, recipe_yaml: str) -> None:
        """Raise `RunError` when the folder belongs to another recipe or holds something else."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(
                f"{self.path}: a file stands where the run folder should be; give --out another "
                "folder"
            )
        if not self.path.exists():
            return
        kept = self.path / RECIPE
        if kept.is_file():
            if not recipe_loading.same(kept.read_text(encoding="utf-8"), recipe_yaml):
                raise RunError(
                    f"{self.path}: holds the run of another recipe (compare {kept}); give --out "
                    "another folder, or remove this one"
                )
        elif any(entry.name != LOCK for entry in self.path.iterdir()):
            raise RunError(f"{self.path}: not empty and no run of lowres; give another --out")

    def manifest(self, name: str) -> Manifest | None:
        """The manifest of a finished stage such as `train/1`, or None."""
        path = self.path / name / MANIFEST
        if not path.is_file():
            return None
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))

    def finished(self, name: str, inputs: str) -> Manifest | None:
        """The stage's manifest if it is whole, was made from these inputs, and is undamaged."""
        found = self.manifest(name)
        if found is None or found.inputs != inputs:
            return None
        for file, expected in found.outputs.items():
            path = self.path / name / file
            if not path.is_file() or file_hash(path) != expected:
                return None
        self.tell(events.StageFinished(name, found.seconds, reused=True))
        return found

    @contextmanager
    def stage(self, name: str, inputs: str) -> Iterator[Stage]:
        """Make a stage. On success its manifest is written and the folder renamed into place.

        Raises `RunError` for a full disk, whoever met it; what was written before stays.
        """
        final = self.path / name
        partial = partial_path(final)
        try:
            with self._made(final, partial, inputs) as stage:
                yield stage
        except BaseException as error:
            _remove_if_unused(partial, self.path)
            full = full_disk(error, partial)
            if full is not None:
                raise full from error
            raise

    @contextmanager
    def _made(self, final: Path, partial: Path, inputs: str) -> Iterator[Stage]:
        marker = partial / INPUTS
        if partial.exists() and (not marker.exists() or marker.read_text() != inputs):
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        write_text(marker, inputs)
        name = final.relative_to(self.path).as_posix()
        stage = Stage(partial, {})
        self.tell(events.StageStarted(name))
        # so that the peak of a stage is its own
        hardware.give_back()
        if (cuda := hardware.used_cuda()) is not None:
            cuda.reset_peak_memory_stats()
        start = time.monotonic()
        with PeakMemory() as memory, EnergyMeter() as energy:
            yield stage
        if energy.kwh is not None:
            stage.notes["energy_kwh"] = energy.kwh
        marker.unlink()
        follow_umask(partial)
        outputs = {
            f.relative_to(partial).as_posix(): file_hash(f)
            for f in sorted(partial.rglob("*"))
            if f.is_file() and f.name != MANIFEST
        }
        seconds = round(time.monotonic() - start, 2)
        done = Manifest(name, inputs, outputs, seconds, memory.peak_mb, stage.notes, _gpu_mb())
        write_text(partial / MANIFEST, json.dumps(asdict(done), indent=1, ensure_ascii=False))
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        self.tell(events.StageFinished(name, done.seconds))
