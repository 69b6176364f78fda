"""The candidate's process: `python -m trueband.properties.candidate.worker TARGET DEVICE EVIDENCE MEMORY`.

It loads the target and answers calls. Questions come through stdin, answers go to the original stdout, what the
candidate prints goes to stderr, and what it has no business with is reported to the file descriptor EVIDENCE. MEMORY is
how many MiB calls may take beyond what the loaded target has; 0: no limit.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trueband.properties.candidate.adapter import check_signature
from trueband.properties.candidate.errors import CRASHED, CandidateEnded, Raised
from trueband.properties.candidate.protocol import Array, receive, send
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.tampering import harness, replaced
from trueband.properties.candidate.target import TargetError, load_target
from trueband.properties.candidate.tiny_calls import find_capture, find_gradients, find_limits
from trueband.properties.candidate.watch import Evidence, is_own, watch
from trueband.properties.cases.backward import Backward
from trueband.properties.results.machine import machine


def main(spec: str, device: str, evidence: Evidence, memory_limit: int) -> None:
    """Load the target, say hello, then answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the judging process decides what an interrupt means
    faulthandler.enable()
    with contextlib.suppress(OSError):  # where memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    before = harness()
    if not is_own(spec):
        watch(evidence.tell)
    try:
        target = load_target(spec)
        check_signature(target, spec)
        runner = Runner(target, device)
    except (TargetError, ValueError) as error:
        send(answers, {"unusable": str(error)})
        return
    if memory_limit:
        _limit_memory(memory_limit, runner)
    send(answers, hello(runner, device))
    while True:
        try:
            request, arrays = receive(requests)
        except EOFError:
            return
        token = request.pop("token")
        header, result = answer(runner, request, arrays)
        tampered = replaced(before)
        if tampered:
            evidence.tell(f"it replaced {tampered} of the harness")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        send(answers, {**header, "token": token}, result)
        if header.get("status") == CRASHED:
            return  # the device answers no more


def hello(runner: Runner, device: str) -> dict[str, Any]:
    """Return what the judging process needs to know about the target and where it runs."""
    return {
        "name": runner.name,
        "library": runner.target.library,
        "dtypes": list(runner.dtypes),
        "features": sorted(runner.features),
        "accumulators": dict(runner.accumulators),
        "stored_scores": runner.stored_scores,
        "limits": runner.limits.to_dict(),
        "shapes": [shape.to_dict() for shape in runner.shapes],
        "ranks": list(runner.ranks),
        "may_have_gradients": runner.may_have_gradients,
        "machine": machine(device),
    }


def answer(
    runner: Runner, request: dict[str, Any], arrays: dict[str, Array]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Serve one request; return the header of the answer, and its arrays."""
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in request.get("options", {}).items()}
    serve: dict[str, Callable[[], tuple[dict[str, Any], dict[str, Array]]]] = {
        "call": lambda: ({}, _results(runner, request, arrays, options)),
        "gradients": lambda: ({}, _gradients(runner, request, arrays, options)),
        "find gradients": lambda: ({"has_gradients": find_gradients(runner)}, {}),
        "find capture": lambda: ({"why_not": find_capture(runner)}, {}),
        "find limits": lambda: (_limits(runner), {}),
        "raises": lambda: ({"raised": runner.raises({**arrays, **request["plain"]}, options)}, {}),
    }
    try:
        header, result = serve[request["do"]]()
    except CandidateEnded as error:
        header, result = _ended(error), {}
    if runner.accelerator is not None and runner.accelerator.lost and "ended" not in header:
        return _ended(CandidateEnded(f"expected an answer, got {runner.accelerator.lost}", CRASHED)), {}
    return header, result


def _ended(error: CandidateEnded) -> dict[str, Any]:
    """Return the header of an answer without a result."""
    ended = {"ended": str(error), "status": error.status, "raised": isinstance(error, Raised)}
    return {**ended, "traceback": error.traceback}


def _results(
    runner: Runner, request: dict[str, Any], arrays: dict[str, Array], options: dict[str, Any]
) -> dict[str, Array]:
    return runner.results(arrays, options, request["dtype"], request["layout"], tuple(request["of"]))


def _gradients(
    runner: Runner, request: dict[str, Any], arrays: dict[str, Array], options: dict[str, Any]
) -> dict[str, Array]:
    inputs = {name: array for name, array in arrays.items() if not name.startswith("grad_")}
    how, dtype, names = Backward.from_dict(request["how"]), request["dtype"], request["names"]
    upstream, of_lse = arrays["grad_output"], arrays.get("grad_lse")
    gradients = runner.gradients(inputs, options, dtype, upstream, names, how, of_lse)
    return {**gradients} if gradients.output is None else {**gradients, "output": gradients.output}


def _limits(runner: Runner) -> dict[str, Any]:
    limits, refusal = find_limits(runner)
    return {"limits": limits.to_dict(), "refusal": refusal}


def _limit_memory(megabytes: int, runner: Runner) -> None:
    """Limit the growth of the address space; for a device, of what is taken of its memory."""
    if runner.accelerator is not None:
        runner.accelerator.limit_memory(megabytes)
        return  # CUDA reserves addresses without end
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Evidence(int(sys.argv[3])), int(sys.argv[4]))
