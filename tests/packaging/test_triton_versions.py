"""Which triton the package asks for: one that goes with every torch it allows; the gate's is fit for everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trueband.properties.gpu.triton_version import TESTED, numbers

OLDEST = "triton>=3.2"  # that of the oldest torch, 2.6


def test_no_torch_is_shut_out(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert project["optional-dependencies"]["triton"] == [OLDEST]
    assert f"{OLDEST}; sys_platform == 'linux'" in project["optional-dependencies"]["test"]
    assert "torch>=2.6" in project["dependencies"]


def test_no_test_is_left_out_in_the_gate(checkout: Path) -> None:
    """Where triton is not fit for a part of the package, its tests are left out (tests/conftest.py): not there."""
    pins = (checkout / "constraints.txt").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^triton==(.+)$", pins, flags=re.MULTILINE)
    assert all(first <= numbers(pinned) <= last for first, last in TESTED.values())
