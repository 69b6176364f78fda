"""The candidate's process: `python -m trueband.properties.worker TARGET DEVICE`. It loads the target and answers calls.

Messages go through the standard input and the original standard output; what the candidate prints goes to stderr.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import Any, BinaryIO

from trueband.properties.protocol import Array, receive, send
from trueband.properties.runner import CandidateError, Runner
from trueband.properties.target import TargetError, load_target


def main(spec: str, device: str) -> None:
    """Load, say hello, then answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the judging process decides what an interrupt means
    faulthandler.enable()
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        runner = Runner(load_target(spec), device)
    except (TargetError, ValueError) as error:
        send(answers, {"unusable": str(error)})
        return
    send(answers, hello(runner))
    while True:
        try:
            request, arrays = receive(requests)
        except EOFError:
            return
        answer(runner, request, arrays, answers)


def hello(runner: Runner) -> dict[str, Any]:
    """What the judging process needs to know of the target, and the versions it runs with."""
    versions = {
        name: getattr(sys.modules.get(name), "__version__", None) for name in ("numpy", "torch", "triton", "jax")
    }
    return {
        "name": runner.name,
        "library": runner.target.library,
        "dtypes": list(runner.dtypes),
        "features": sorted(runner.features),
        "accumulators": dict(runner.accumulators),
        "least_window": runner.least_window,
        "may_have_gradients": runner.may_have_gradients,
        "versions": {name: str(version) for name, version in versions.items() if version},
    }


def answer(runner: Runner, request: dict[str, Any], arrays: dict[str, Array], answers: BinaryIO) -> None:
    """Serve one request."""
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in request.get("options", {}).items()}
    try:
        if request["do"] == "call":
            result = {"output": runner.call(arrays, options, request["dtype"], request["layout"])}
        elif request["do"] == "gradients":
            grad_output = arrays.pop("grad_output")
            result = runner.gradients(arrays, options, request["dtype"], grad_output, request["names"])
        elif request["do"] == "find gradients":
            send(answers, {"has_gradients": runner.find_gradients()})
            return
        else:
            kind, message = runner.raises({**arrays, **request["plain"]}, options)
            send(answers, {"raised": [kind, message]})
            return
    except CandidateError as error:
        send(answers, {"broken": str(error)})
        return
    send(answers, {}, result)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
