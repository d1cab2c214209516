"""Energy estimates: absent without codecarbon, read off its tracker with it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lowres.energy import EnergyMeter


def test_none_without_codecarbon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with EnergyMeter() as meter:
        pass
    assert meter.kwh is None


def test_reads_the_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Tracker:
        """codecarbon's tracker, at its edge: it needs counters that a test machine may lack."""

        final_emissions_data = SimpleNamespace(energy_consumed=0.25)

        def __init__(self, **options: Any) -> None:
            calls.append(options)

        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

    module = ModuleType("codecarbon")
    module.OfflineEmissionsTracker = Tracker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(KeyError), EnergyMeter() as meter:
        raise KeyError
    assert meter.kwh == 0.25
    assert calls[1:] == ["start", "stop"]
    assert calls[0]["save_to_file"] is False
