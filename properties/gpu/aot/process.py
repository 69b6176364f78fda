"""Compiles what a function launches in processes of their own, and gives the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.aot.code import Code
from trueband.properties.gpu.aot.gates import Refusal
from trueband.properties.gpu.aot.target import TARGETS
from trueband.properties.gpu.processes import run_children
from trueband.properties.results.machine import Machine


@dataclass(frozen=True)
class Judged:
    """Compiled code, and the gates that it does not pass."""

    code: Code
    refusals: list[Refusal]


@dataclass(frozen=True)
class Outcome:
    """What was compiled, how the function or its process failed, whether by Ctrl-C, and the machine it ran on,
    if it came to tell."""

    judged: list[Judged]
    crash: str = ""
    interrupted: bool = False
    machine: Machine = field(default_factory=dict)


def compile_for(spec: str, targets: Sequence[str], jobs: int = 1, time_limit: float | None = None) -> Outcome:
    """Compile what `module:function` or `file.py:function` launches, or gives.

    Args:
        targets: some of `TARGETS`.
        jobs: processes that share the kernels which the function gives.
        time_limit: seconds for all of it; None: as long as it takes.

    Raises:
        TargetError: triton is not installed, there is no such function, or a target is unknown.
    """
    for name in targets:
        if name not in TARGETS:
            raise TargetError(f"gpu: expected some of {', '.join(TARGETS)}, got {name!r}")
    arguments = [[spec, ",".join(targets), f"{job}/{jobs}"] for job in range(jobs)]
    ended = run_children("trueband.properties.gpu.aot.child", arguments, False, time_limit)
    judged: list[Judged] = []
    crashes: list[str] = []
    machine: Machine = {}
    for child in ended:
        for line in child.lines:
            if "unusable" in line:
                raise TargetError(line["unusable"])
            machine = machine or line.get("machine", {})
            if "code" in line:
                refusals = [Refusal(**refusal) for refusal in line["refusals"]]
                judged.append(Judged(Code.from_dict(line["code"]), refusals))
        crashes.append(child.lines[-1].get("crash", child.crash) if child.lines else child.crash)
    crash = next((crash for crash in crashes if crash), "")
    return Outcome(judged, crash, any(child.interrupted for child in ended), machine)
