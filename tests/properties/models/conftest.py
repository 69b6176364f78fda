"""A case that breaks a check is evidence enough here: no test waits for the smallest one."""

from __future__ import annotations

import pytest

from trueband.properties.running import search


@pytest.fixture(autouse=True)
def _no_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHRINK_SECONDS", 0.0)
