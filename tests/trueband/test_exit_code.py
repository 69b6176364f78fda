"""The exit code of `python -m trueband` is what the command returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Read by Python as it starts: the command is one that Ctrl-C interrupts in the middle of an exec(), and that says so.
INTERRUPTED_IN_EXEC = """
import trueband.cli

def main():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130

trueband.cli.main = main
"""


def test_an_interrupt_that_comes_through_exec_is_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IN_EXEC, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "trueband"], env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 130
