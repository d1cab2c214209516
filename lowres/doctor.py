"""What this machine can do: GPU, number formats, 8-bit, versions, cache, Hub.

Nothing here is guessed from names: bf16 and int8 follow from the compute capability, because
`torch.cuda.is_bf16_supported()` also says yes where bf16 is only emulated (a T4).
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import memory

if TYPE_CHECKING:
    from rich.table import Table

HUB_TIMEOUT_S = 3.0
LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "huggingface_hub",
    "scikit-learn",
    "evaluate",
)


@dataclass(frozen=True)
class Ability:
    """Whether this machine can do something, and why or what to do instead."""

    supported: bool
    reason: str


@dataclass(frozen=True)
class Gpu:
    """`capability`: CUDA compute capability, (major, minor)."""

    name: str
    memory_mb: int
    capability: tuple[int, int]
    bf16: bool
    int8: bool


@dataclass(frozen=True)
class Cpu:
    """`bf16`: the processor multiplies bf16 in hardware (AVX512-BF16, AMX or Arm BF16)."""

    name: str
    cores: int
    memory_mb: int
    bf16: bool


@dataclass(frozen=True)
class CacheFolder:
    """A folder that this package or the Hub client writes to; it need not exist yet."""

    use: str
    path: str
    free_mb: int
    writable: bool


@dataclass(frozen=True)
class Hub:
    """`user`: the account of the token at hand; None when there is no token or it was refused."""

    endpoint: str
    reachable: bool
    user: str | None
    note: str


@dataclass(frozen=True)
class Report:
    """All that `lowres doctor` prints. A library that is not installed has version None."""

    python: str
    platform: str
    cpu: Cpu
    gpus: tuple[Gpu, ...]
    gpu_note: str
    precision: str
    int8: Ability
    nf4: Ability
    versions: dict[str, str | None]
    caches: tuple[CacheFolder, ...]
    hub: Hub


def bf16_supported(capability: tuple[int, int]) -> bool:
    """True from compute capability 8.0 (Ampere) on: the first with bf16 tensor cores."""
    return tuple(capability) >= (8, 0)


def int8_supported(capability: tuple[int, int]) -> bool:
    """True from 7.5 (Turing) on, what LLM.int8() needs by bitsandbytes' installation guide."""
    return tuple(capability) >= (7, 5)


def nf4_supported(capability: tuple[int, int]) -> bool:
    """True from 6.0 (Pascal) on, what NF4 needs by bitsandbytes' installation guide."""
    return tuple(capability) >= (6, 0)


def flags_have_bf16(flags: Iterable[str]) -> bool:
    """Whether processor flags, as Linux names them, hold a bf16 multiplication."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


@cache
def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware; False where the flags can't be read."""
    return flags_have_bf16(_cpu_fields().get("flags", "").split())


def int8_ability(system: str, gpus: Iterable[tuple[int, int]], installed: bool = True) -> Ability:
    """Whether `base.quantization: 8bit` works.

    Args:
        system: as `sys.platform` names it.
        gpus: compute capabilities of the CUDA devices; none means the CPU is used.
        installed: whether bitsandbytes is.
    """
    return _quantized(system, gpus, installed, "8bit", int8_supported, "7.5")


def nf4_ability(system: str, gpus: Iterable[tuple[int, int]], installed: bool = True) -> Ability:
    """Whether `base.quantization: 4bit` works; arguments as for `int8_ability`."""
    return _quantized(system, gpus, installed, "4bit", nf4_supported, "6.0")


def _quantized(
    system: str,
    gpus: Iterable[tuple[int, int]],
    installed: bool,
    kind: str,
    supported: Any,
    wanted: str,
) -> Ability:
    if system == "darwin":
        return Ability(False, f"no {kind} on macOS: set base.quantization=none")
    if not installed:
        return Ability(False, "bitsandbytes is not installed: pip install bitsandbytes")
    too_old = [gpu for gpu in gpus if not supported(gpu)]
    if too_old:
        has = ", ".join(f"{major}.{minor}" for major, minor in too_old)
        instead = "4bit or none" if kind == "8bit" and nf4_supported(min(too_old)) else "none"
        return Ability(
            False,
            f"{kind} needs compute capability {wanted}, this GPU has {has}: "
            f"set base.quantization={instead.replace(' or ', ' or base.quantization=')}",
        )
    return Ability(True, "on the GPU" if tuple(gpus) else "on the CPU (slower than none there)")


def examine(timeout_s: float = HUB_TIMEOUT_S) -> Report:
    """Look at this machine. Takes at most `timeout_s` for the Hub; never raises for what is
    missing, and never holds or prints a token."""
    gpus, gpu_note = _gpus()
    capabilities = tuple(gpu.capability for gpu in gpus)
    versions = {name: version(name) for name in LIBRARIES}
    installed = versions["bitsandbytes"] is not None
    cpu = _cpu()
    has_bf16 = gpus[0].bf16 if gpus else cpu.bf16
    return Report(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu,
        gpus=gpus,
        gpu_note=gpu_note,
        precision="bf16" if has_bf16 else ("fp16" if gpus else "fp32"),
        int8=int8_ability(sys.platform, capabilities, installed),
        nf4=nf4_ability(sys.platform, capabilities, installed),
        versions=versions,
        caches=_caches(),
        hub=_hub(timeout_s),
    )


def plain(report: Report) -> dict[str, Any]:
    """The report as plain data, for `lowres doctor --json`."""
    return asdict(report)


def table(report: Report) -> Table:
    """The report as a table of two columns: what, and what was found."""
    from rich.markup import escape
    from rich.table import Table

    found = Table(box=None, show_header=False, pad_edge=False)
    found.add_column(style="bold", no_wrap=True)
    found.add_column(overflow="fold")
    for what, text in _rows(report):
        found.add_row(escape(what), escape(text))
    return found


def _rows(report: Report) -> list[tuple[str, str]]:
    cpu = report.cpu
    rows = [
        ("Python", f"{report.python} on {report.platform}"),
        ("CPU", f"{cpu.name}, {cpu.cores} cores, {cpu.memory_mb} MB, bf16 {_word(cpu.bf16)}"),
    ]
    for gpu in report.gpus:
        capability = ".".join(map(str, gpu.capability))
        text = f"{gpu.name}, {gpu.memory_mb} MB, compute capability {capability}"
        rows.append(("GPU", f"{text}, bf16 {_word(gpu.bf16)}, int8 {_word(gpu.int8)}"))
    if not report.gpus:
        rows.append(("GPU", f"none ({report.gpu_note})"))
    rows.append(("precision", f"{report.precision} (train.precision: auto)"))
    rows.append(("8-bit bases", f"{_word(report.int8.supported)}: {report.int8.reason}"))
    rows.append(("4-bit bases", f"{_word(report.nf4.supported)}: {report.nf4.reason}"))
    for folder in report.caches:
        state = "" if folder.writable else ", NOT WRITABLE"
        rows.append((folder.use, f"{folder.path}, {folder.free_mb} MB free{state}"))
    hub = report.hub
    who = f" as {hub.user}" if hub.user is not None else ""
    reached = "reachable" if hub.reachable else "out of reach"
    rows.append(("Hub", f"{hub.endpoint} {reached}{who}: {hub.note}"))
    rows += [(name, found or "not installed") for name, found in report.versions.items()]
    return rows


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    try:
        import torch
    except ImportError as error:
        return (), f"torch cannot be imported: {error}"
    if not torch.cuda.is_available():
        build = torch.version.cuda
        why = (
            f"torch is built for CUDA {build} and sees no GPU" if build else "torch is a CPU build"
        )
        return (), why
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = (properties.major, properties.minor)
        found.append(
            Gpu(
                name=properties.name,
                memory_mb=properties.total_memory // 2**20,
                capability=capability,
                bf16=bf16_supported(capability),
                int8=int8_supported(capability),
            )
        )
    return tuple(found), f"CUDA {torch.version.cuda}"


@cache
def _cpu_fields() -> dict[str, str]:
    """First entry of each field of /proc/cpuinfo (Linux); Arm calls the flags `Features`."""
    file = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                name = "flags" if key.strip() == "Features" else key.strip()
                fields.setdefault(name, value.strip())
    return fields


def _cpu() -> Cpu:
    name = _cpu_fields().get("model name") or platform.processor() or platform.machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_mb = int(memory.here().total_mb)
    return Cpu(name=name, cores=usable or 1, memory_mb=memory_mb, bf16=cpu_has_bf16())


def _caches() -> tuple[CacheFolder, ...]:
    import platformdirs
    from huggingface_hub import constants

    own = Path(os.environ.get("LOWRES_CACHE") or platformdirs.user_cache_dir("lowres"))
    return (
        cache_folder("rebuilt bases (LOWRES_CACHE)", own),
        cache_folder("Hub downloads (HF_HOME)", Path(constants.HF_HOME)),
    )


def cache_folder(use: str, path: Path) -> CacheFolder:
    """Free space and writability of a folder, or of the nearest one above it that exists."""
    existing = path.expanduser().absolute()
    while not existing.is_dir():
        existing = existing.parent
    free_mb = shutil.disk_usage(existing).free // 2**20
    return CacheFolder(use, str(path), free_mb, os.access(existing, os.W_OK))


def _hub(timeout_s: float) -> Hub:
    from huggingface_hub import constants, get_token

    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        note = "not asked: HF_HUB_OFFLINE is set; local folders and the cache still work"
        return Hub(endpoint, False, None, note)
    return ask_hub(endpoint, get_token(), timeout_s)


def ask_hub(endpoint: str, token: str | None, timeout_s: float) -> Hub:
    """Whether the Hub at `endpoint` answers within `timeout_s` in all, and to whom.

    The request runs in a thread of its own, since a time-out of the client does not bound a name
    look-up that hangs.
    """
    from concurrent.futures import ThreadPoolExecutor
    from concurrent.futures import TimeoutError as OutOfTime

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lowres-doctor")
    try:
        status, user = pool.submit(_whoami, endpoint, token, timeout_s).result(timeout_s)
    except OutOfTime:
        note = f"no answer in {timeout_s:g} s; local folders and the cache still work"
        return Hub(endpoint, False, None, note)
    except OSError as error:
        # urllib's errors are OSErrors; their text names the host and never a header.
        note = f"{error}; local folders and the cache still work"
        return Hub(endpoint, False, None, note)
    finally:
        pool.shutdown(wait=False)
    if token is None:
        return Hub(endpoint, True, None, "no token: public models and data only (hf auth login)")
    if user is None:
        return Hub(endpoint, True, None, f"the token was refused ({status}): run hf auth login")
    return Hub(endpoint, True, user, "logged in")


def _whoami(endpoint: str, token: str | None, timeout_s: float) -> tuple[int, str | None]:
    """Status and account name. Any HTTP answer shows that the Hub is reachable."""
    import json
    import urllib.error
    import urllib.request

    headers = {"User-Agent": "lowres-doctor"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    address = f"{endpoint.rstrip('/')}/api/whoami-v2"
    if not address.startswith(("https://", "http://")):
        raise OSError(f"HF_ENDPOINT {endpoint!r} is no http address")
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, str(json.load(answer).get("name"))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except ValueError as error:
        raise OSError(f"{endpoint} answered with something that is not JSON") from error
