"""Runs a function that launches kernels in a process of its own, under the sanitizer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueband.properties.gpu.sanitizer.finding import Finding
from trueband.properties.target import TargetError

_CHILD = (sys.executable, "-P", "-m", "trueband.properties.gpu.sanitizer.child")
INSTALL = "triton: expected the package triton, got none: pip install 'trueband[triton]'"


@dataclass(frozen=True)
class Outcome:
    """What was seen.

    Attributes:
        findings: each fault once.
        launches, accesses: how much was looked at; an access is one load, store or atomic operation of one program.
        unchecked: lanes whose address the kernel had read from memory, which are not checked.
        kernels: names.
        crash: how the function or its process ended, if not well.
        interrupted: by Ctrl-C; what had been found is there.
    """

    findings: list[Finding] = field(default_factory=list)
    launches: int = 0
    accesses: int = 0
    unchecked: int = 0
    kernels: tuple[str, ...] = ()
    crash: str = ""
    interrupted: bool = False


def sanitize(spec: str, seed: int = 0, time_limit: float | None = None) -> Outcome:
    """Call the function `module:function` or `file.py:function` under the sanitizer.

    Args:
        seed: of the order in which the programs of a launch run.
        time_limit: seconds for all of it; None: as long as it takes.

    Raises:
        TargetError: triton is not installed, or there is no such function.
    """
    if importlib.util.find_spec("triton") is None:
        raise TargetError(INSTALL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seen.jsonl")
        command = [*_CHILD, spec, str(seed), str(path)]
        crash, interrupted = "", False
        process = subprocess.Popen(command, env={**os.environ, "TRITON_INTERPRET": "1"})
        try:
            code = process.wait(timeout=time_limit)
            crash = f"the process ended with exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            crash = f"the function did not end within {time_limit:g} s"
        except KeyboardInterrupt:
            interrupted = True
        finally:
            process.kill()
            process.wait()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return _outcome([json.loads(line) for line in lines if line.endswith("}")], crash, interrupted)


def _outcome(lines: list[dict[str, Any]], crash: str, interrupted: bool) -> Outcome:
    end = lines[-1] if lines and "launches" in lines[-1] else None
    if end is None:  # the process has not got so far
        findings = [Finding.from_dict(line["finding"]) for line in lines]
        crash = crash or "the process ended without a word"
        return Outcome(findings, crash="" if interrupted else crash, interrupted=interrupted)
    if "unusable" in end:
        raise TargetError(end["unusable"])
    findings = [Finding.from_dict(each) for each in end["findings"]]
    counts = {name: end[name] for name in ("launches", "accesses", "unchecked")}
    return Outcome(
        findings, **counts, kernels=tuple(end["kernels"]), crash=end.get("crash", crash), interrupted=interrupted
    )
