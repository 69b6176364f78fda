"""Processes of their own for what needs triton: whether it interprets or compiles is decided when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueband.properties.gpu.triton_version import COMPILE, SANITIZE, require


@dataclass(frozen=True)
class Ended:
    """How a process has ended.

    Attributes:
        lines: the JSON lines that it has written.
        crash: how it ended, if not well. interrupted: by Ctrl-C.
    """

    lines: list[dict[str, Any]]
    crash: str
    interrupted: bool


def run_children(
    module: str, arguments: Sequence[Sequence[str]], interpret: bool, time_limit: float | None
) -> list[Ended]:  # fmt: skip
    """Run `python -m module ... FILE` for each list of arguments, at the same time; each writes JSON lines to its FILE.

    Args:
        interpret: with Triton's interpreter; if not, with its compiler.
        time_limit: seconds for all of it; None: as long as it takes.

    Raises:
        TargetError: triton is not installed, or in another version. ValueError: `time_limit` is not more than 0.
    """
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit: expected more than 0 seconds, got {time_limit:g}")
    require(SANITIZE if interpret else COMPILE)
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpret else "0"}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.jsonl") for number in range(len(arguments))]
        processes = [
            subprocess.Popen([sys.executable, "-P", "-m", module, *given, str(path)], env=environment)
            for given, path in zip(arguments, paths, strict=True)
        ]
        end = None if time_limit is None else time.monotonic() + time_limit
        crashes, interrupted = [""] * len(processes), False
        try:
            for place, process in enumerate(processes):
                crashes[place] = _wait(process, end, time_limit)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [Ended(_read(path), crash, interrupted) for path, crash in zip(paths, crashes, strict=True)]


def _wait(process: subprocess.Popen[bytes], end: float | None, time_limit: float | None) -> str:
    """How it ended, if not well."""
    try:
        code = process.wait(None if end is None else max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"it did not end within {time_limit:g} s"
    return f"the process ended with exit code {code}" if code else ""


def _read(path: Path) -> list[dict[str, Any]]:
    """Lines that were written to their end."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]
