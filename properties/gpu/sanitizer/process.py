"""Runs a function that launches kernels in a process of its own, under the sanitizer."""

from __future__ import annotations

from dataclasses import dataclass, field

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.processes import Ended, run_children
from trueband.properties.gpu.sanitizer.finding import Finding
from trueband.properties.results.machine import Machine


@dataclass(frozen=True)
class Outcome:
    """The findings of a run.

    Attributes:
        findings: each fault once.
        launches, accesses: how much was looked at; an access is one load, store or atomic operation of one program.
            If the process was ended: up to the end of a launch.
        unchecked: lanes whose address the kernel had read from memory, which are not checked.
        kernels: names.
        crash: how the function or its process ended, if not well.
        interrupted: whether Ctrl-C ended it; earlier findings are kept.
        machine: where it ran; empty where the process ended too early.
    """

    findings: list[Finding] = field(default_factory=list)
    launches: int = 0
    accesses: int = 0
    unchecked: int = 0
    kernels: tuple[str, ...] = ()
    crash: str = ""
    interrupted: bool = False
    machine: Machine = field(default_factory=dict)


def sanitize(
    spec: str, seed: int = 0, time_limit: float | None = None, first: str = "", memory_limit: int | None = None
) -> Outcome:
    """Call the function `module:function` or `file.py:function` under the sanitizer.

    Args:
        seed: the seed of the order in which the programs of a launch run.
        time_limit: seconds for all of it; None: as long as it takes.
        first: `module:function` that is called before all else, such as one that mends the interpreter.
        memory_limit: MiB that the process may hold; what is allocated and never written does not count. None: no limit.

    Raises:
        TargetError: triton is not installed, or there is no such function.
    """
    child = "trueband.properties.gpu.sanitizer.child"
    (ended,) = run_children(child, [[spec, str(seed), first]], True, time_limit, memory_limit)
    return _outcome(ended)


def _outcome(ended: Ended) -> Outcome:
    if not ended.lines:
        return Outcome(crash=ended.crash, interrupted=ended.interrupted)
    end = ended.lines[-1]
    if "unusable" in end:
        raise TargetError(end["unusable"])
    findings = end["findings"] if "findings" in end else [finding for line in ended.lines for finding in line["new"]]
    return Outcome(
        [Finding.from_dict(finding) for finding in findings],
        end["launches"],
        end["accesses"],
        end["unchecked"],
        tuple(end["kernels"]),
        end.get("crash", ended.crash),
        ended.interrupted,
        next((line["machine"] for line in ended.lines if "machine" in line), {}),
    )
