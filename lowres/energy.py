"""Energy of a stage as codecarbon estimates it, where that package is installed."""

from __future__ import annotations

import importlib.util
import logging
from types import TracebackType
from typing import Any


class EnergyMeter:
    """Estimated kWh of this machine while the block runs; None without codecarbon.

    The offline tracker is used: energy does not depend on the country, and nothing is looked up.
    """

    def __init__(self) -> None:
        self.kwh: float | None = None
        self._tracker: Any = None
        if importlib.util.find_spec("codecarbon") is not None:
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            self._tracker = OfflineEmissionsTracker(
                country_iso_code="USA",
                save_to_file=False,
                log_level="critical",
                allow_multiple_runs=True,
            )

    def __enter__(self) -> EnergyMeter:
        if self._tracker is not None:
            self._tracker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tracker is not None:
            self._tracker.stop()
            self.kwh = float(self._tracker.final_emissions_data.energy_consumed)
