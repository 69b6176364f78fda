"""Runs the kit, as on a machine with a GPU, but in rehearsal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tools"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kit() -> Run:
    """`run.py --rehearse ARGUMENTS` in the folder; planted: {stage: how its first unit fails}."""

    def run(folder: Path, *arguments: str, **planted: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "tools/device/run.py"), *arguments, "--rehearse", "--out", str(folder)]
        environment = {**os.environ, "TRUEBAND_DEVICE_PLANT": json.dumps(planted)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder.parent, check=False)

    return run
