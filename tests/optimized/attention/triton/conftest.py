"""Programs in Triton's interpreter, and without it: the two cannot share a process, so each has one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).with_name("interpreted.py")


@pytest.fixture(scope="session")
def interpret() -> Callable[..., str]:
    """Runs `interpreted.py NAME ...` to its end and returns what it printed."""

    def run(*arguments: str) -> str:
        command = [sys.executable, str(PROGRAMS), *arguments]
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def compiling() -> Callable[..., str]:
    """Runs a script where triton is not asked to interpret, and returns what it printed."""

    def run(script: str, **environment: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        command = [sys.executable, "-W", "error", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, env={**inherited, **environment}, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
