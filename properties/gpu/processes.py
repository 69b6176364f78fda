"""Processes of their own for what needs triton: whether it interprets or compiles is decided when it is imported."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueband.properties.gpu.triton_version import COMPILE, SANITIZE, require

BETWEEN_LOOKS = 0.05  # seconds
KILLED = "the process was killed (out of memory?)"
OVER_THE_LIMIT = (
    "it held more than {limit:,} MiB of memory, the memory limit. Memory that is allocated and never written "
    "does not count, nor what torch.zeros, ones and full give; what is filled otherwise, and shadow memory of what "
    "kernels touch, does"
)


@dataclass(frozen=True)
class Ended:
    """The end of a process.

    Attributes:
        lines: the JSON lines that it has written.
        crash: how it ended, if not well. interrupted: whether Ctrl-C ended it.
    """

    lines: list[dict[str, Any]]
    crash: str
    interrupted: bool


def run_children(
    module: str,
    arguments: Sequence[Sequence[str]],
    interpret: bool,
    time_limit: float | None,
    memory_limit: int | None = None,
) -> list[Ended]:
    """Run `python -m module ... FILE` for each list of arguments, at the same time; each writes JSON lines to its FILE.

    Args:
        interpret: whether to use Triton's interpreter; if not, its compiler.
        time_limit: seconds for all of it; None: as long as it takes.
        memory_limit: MiB that each may hold; what is allocated and never written does not count. None: no limit.

    Raises:
        TargetError: triton is not installed, or in another version. ValueError: a limit is not more than 0.
    """
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit: expected more than 0 seconds, got {time_limit:g}")
    if memory_limit is not None and memory_limit < 1:
        raise ValueError(f"memory_limit: expected 1 MiB or more, got {memory_limit}")
    require(SANITIZE if interpret else COMPILE)
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpret else "0"}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.jsonl") for number in range(len(arguments))]
        processes = [
            subprocess.Popen([sys.executable, "-P", "-m", module, *words, str(path)], env=environment)
            for words, path in zip(arguments, paths, strict=True)
        ]
        end = None if time_limit is None else time.monotonic() + time_limit
        crashes, interrupted = [""] * len(processes), False
        try:
            for place, process in enumerate(processes):
                crashes[place] = _wait(process, end, time_limit, memory_limit)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [Ended(_read(path), crash, interrupted) for path, crash in zip(paths, crashes, strict=True)]


def _wait(
    process: subprocess.Popen[bytes], end: float | None, time_limit: float | None, memory_limit: int | None
) -> str:
    """Wait for a process, and describe how it failed; "" if it did not."""
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        look = left if memory_limit is None else min(BETWEEN_LOOKS, math.inf if left is None else left)
        try:
            code = process.wait(look)
        except subprocess.TimeoutExpired:
            if left == 0:
                return f"it did not end within {time_limit:g} s"
            if memory_limit is not None and held(process.pid) > memory_limit:
                return OVER_THE_LIMIT.format(limit=memory_limit)
        else:
            return _ended(code)


def held(pid: int) -> int:
    """MiB of memory that a process alone holds; 0 where that is unknown."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    status = {name: value for name, _, value in (line.partition(":") for line in lines)}
    # Not what it shares: large memory that holds one number is one page, however often it is looked at.
    resident = status.get("RssAnon") or status.get("VmRSS") or "0 kB"
    return int(resident.split()[0]) // 1024


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return KILLED
    return f"the process ended with exit code {code}" if code else ""


def _read(path: Path) -> list[dict[str, Any]]:
    """Lines that were written to their end."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]
