"""What several commands are asked for in the same way."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Interrupted = Callable[[list[str], Path, int], tuple[str, str]]


@pytest.fixture
def interrupted(as_from_a_terminal: Callable[[list[str]], list[str]]) -> Interrupted:
    """Runs a command until its report has so many lines, interrupts it, and returns what it printed."""

    def run(command: list[str], report: Path, lines: int) -> tuple[str, str]:
        process = subprocess.Popen(
            as_from_a_terminal(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not report.exists() or len(report.read_text().splitlines()) < lines:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=1800)  # a run that goes on could take an hour
        assert process.returncode == 130, error
        return out, error

    return run
