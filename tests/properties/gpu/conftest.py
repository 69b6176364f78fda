"""Programs in Triton's interpreter. It and the compiler cannot share a process: each program has one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Interpret = Callable[..., str]


@pytest.fixture(scope="session")
def interpret() -> Interpret:
    """Runs a file of this folder with arguments to its end, and returns what it printed."""

    def run(file: str, *arguments: str) -> str:
        command = [sys.executable, str(Path(__file__).with_name(file)), *arguments]
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
