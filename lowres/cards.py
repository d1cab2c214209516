"""What a run could stand on: common cards, a card given by its memory, or this machine as it is."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Final

from lowres import doctor, memory
from lowres.errors import DeviceError, nearest
from lowres.hardware import Hardware, Precision, choose
from lowres.recipe import Train

GB: Final = 1024.0
"""MB in a GB, as cards are sold: both by powers of two."""
CONTEXT_MB: Final = 450.0
"""Of a card, CUDA's own context and the libraries' kernels, before the first tensor."""
_ASKED: Final = "name,memory.total,memory.free,compute_cap,mig.mode.current"
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(GB|GiB|G)", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """A kind of GPU: what a driver shows as its memory, and its compute capability."""

    name: str
    memory_gb: float
    capability: tuple[int, int]


CARDS: Final = (
    Card("P100", 16.0, (6, 0)),
    Card("V100", 16.0, (7, 0)),
    Card("T4", 15.0, (7, 5)),  # of 16: error correction takes the rest
    Card("Colab T4", 15.0, (7, 5)),  # what Colab lends without payment
    Card("RTX 3060", 12.0, (8, 6)),
    Card("RTX 3090", 24.0, (8, 6)),
    Card("RTX 4090", 24.0, (8, 9)),
    Card("L4", 22.5, (8, 9)),
    Card("A100 40GB", 40.0, (8, 0)),
    Card("A100 80GB", 80.0, (8, 0)),
)
"""Memory and capability by NVIDIA's data sheets."""


@dataclass(frozen=True)
class Place:
    """Where a run is planned for."""

    name: str
    device: str
    """cuda or cpu."""
    memory_mb: float
    """All of it."""
    free_mb: float
    """What a run may take."""
    precision: Precision
    int8: doctor.Ability
    nf4: doctor.Ability
    warnings: tuple[str, ...] = ()


def place(asked: str | None, train: Train) -> Place:
    """The place for `--gpu`: a card's name, a size such as 16GB, or (None) this machine.

    Raises `DeviceError` for an unknown card, or a number format that it lacks.
    """
    return _this_machine(train) if asked is None else _card(asked, train)


def _card(asked: str, train: Train) -> Place:
    size = _SIZE.fullmatch(asked.strip())
    if size is not None:
        # of a card that is only known by its size the best is assumed, and said
        said = f"--gpu {asked}: taken as a card with bf16 and int8 (compute capability 8.0)"
        return _of(Card(f"a card of {asked.strip()}", float(size[1]), (8, 0)), train, (said,))
    by_name = {_plain(card.name): card for card in CARDS}
    by_name |= {"colab": by_name["colabt4"], "a100": by_name["a10040gb"]}
    card = by_name.get(_plain(asked).removeprefix("nvidia").removeprefix("tesla"))
    if card is None:
        names = [known.name for known in CARDS]
        close = nearest(asked.upper(), names, likeness=0.4)
        raise DeviceError(
            f"--gpu {asked!r}: unknown card{close} (known: {', '.join(names)}; or a size such as "
            "16GB; `lowres ls cards`)"
        )
    return _of(card, train, ())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]|geforce", "", name.lower())


def rows() -> list[dict[str, str]]:
    """The cards for a reader: memory, and which formats and quantisations each can compute."""
    return [
        {
            "name": card.name,
            "memory": f"{card.memory_gb:g} GB",
            "bf16": _said_able(doctor.bf16_supported(card.capability)),
            "8bit": _said_able(doctor.int8_ability("linux", [card.capability]).supported),
            "4bit": _said_able(doctor.nf4_ability("linux", [card.capability]).supported),
        }
        for card in CARDS
    ]


def _said_able(able: bool) -> str:
    return "yes" if able else "no"


def _of(card: Card, train: Train, warnings: tuple[str, ...]) -> Place:
    memory_mb = card.memory_gb * GB
    if memory_mb <= CONTEXT_MB:
        raise DeviceError(f"--gpu: {card.name} has no room; give its memory, such as 16GB")
    # a card is planned for wherever the plan is made, a Mac included
    return Place(
        card.name,
        "cuda",
        memory_mb,
        memory_mb,
        choose(train.precision, doctor.bf16_supported(card.capability), "fp16"),
        doctor.int8_ability("linux", [card.capability]),
        doctor.nf4_ability("linux", [card.capability]),
        warnings,
    )


def _this_machine(train: Train) -> Place:
    if not _sees_gpu():
        return processor(train)
    known = _by_driver()
    return card_here(train) if known is None else _card_of(train, *known)


def _by_driver() -> tuple[str, float, float, tuple[int, int]] | None:
    """(name, MB, MB free, compute capability) of the GPU that torch would take, by the driver's own
    tool: torch takes seconds to import. None where torch alone can tell."""
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if tool is None or not first.isdigit():
        return None
    words = [tool, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
        rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
        name, total, free, capability, parted = rows[int(first)]
        major, minor = map(int, capability.split("."))
        found = name, float(total), float(free), (major, minor)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    # CUDA numbers different cards by their speed, the driver by their place
    alike = len({row[0] for row in rows}) == 1
    return found if alike and parted != "Enabled" else None


def processor(train: Train) -> Place:
    """This machine without a GPU. Raises `DeviceError` for a number format that it lacks."""
    found = memory.here()
    total, free = found.total_mb, found.free_mb
    installed = doctor.version("bitsandbytes") is not None
    taken = total - free
    return Place(
        "this machine's processor",
        "cpu",
        total,
        free,
        choose(train.precision, doctor.cpu_has_bf16(), "fp32"),
        doctor.int8_ability(sys.platform, [], installed),
        doctor.nf4_ability(sys.platform, [], installed),
        (_said_free("memory", taken, total, free),) if taken > 0.2 * total else (),
    )


def _sees_gpu() -> bool:
    """Whether an NVIDIA driver is here: torch, which knows more, takes seconds to import."""
    import shutil
    from pathlib import Path

    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def card_here(train: Train) -> Place:
    """The GPU that torch takes. Raises `DeviceError` for none, or a number format that it lacks."""
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            "an NVIDIA driver is here, but torch sees no GPU (`lowres doctor` says why); name the "
            "card to plan for: --gpu T4"
        )
    free, total = (size / 2**20 for size in torch.cuda.mem_get_info())
    capability = torch.cuda.get_device_capability()
    # what the context of this process takes is not taken by others
    free = min(total, free + CONTEXT_MB)
    return _card_of(train, torch.cuda.get_device_name(), total, free, capability)


def _card_of(
    train: Train, name: str, total: float, free: float, capability: tuple[int, int]
) -> Place:
    taken = total - free
    installed = doctor.version("bitsandbytes") is not None
    return Place(
        name,
        "cuda",
        total,
        free,
        choose(train.precision, doctor.bf16_supported(capability), "fp16"),
        doctor.int8_ability(sys.platform, [capability], installed),
        doctor.nf4_ability(sys.platform, [capability], installed),
        (_said_free("GPU memory", taken, total, free),) if taken > 0.05 * total else (),
    )


def where_it_ran(machine: Hardware) -> Place:
    """For what is over, and asks for no room."""
    able = doctor.Ability(True, "it ran")
    return Place("", machine.device, 0.0, 0.0, machine.precision, able, able)


def _said_free(what: str, taken: float, total: float, free: float) -> str:
    return (
        f"other processes hold {taken:,.0f} of {total:,.0f} MB of {what}; {free:,.0f} MB are free"
    )
