"""Pointing the real client of this process at the Hub of the tests.

It reads its environment when it is imported, which in tests is long before there is a Hub.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_store import Hub


def point_client_at(hub: Hub, monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[float]:
    """As HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_DISABLE_XET would; the hub has to be served.

    Returns the seconds that the client wants to wait between its tries, to which it adds up while
    the test lasts; it waits for none of them.
    """
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    waits: list[float] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # hf_xet is installed with the client, and would talk to another server
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waits.append))
    return waits
