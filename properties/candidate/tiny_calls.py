"""What tiny calls of a target show that it has not declared: gradients, capture in a graph, limits of its sizes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.arrays import NotDifferentiable
from trueband.properties.candidate.errors import CandidateEnded, Raised
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.survey import survey
from trueband.properties.cases.backward import REPLAY
from trueband.properties.cases.limits import Limits

Array = NDArray[Any]
SURVEY_SECONDS = 5.0


def find_gradients(runner: Runner) -> bool:
    """Return whether the target can be differentiated in a tiny call."""
    arrays, options, ones = tiny(runner)
    try:
        runner.gradients(arrays, options, runner.dtypes[0], ones, [*arrays])
    except CandidateEnded as error:
        return not isinstance(error.__cause__, NotDifferentiable)  # a backward pass that fails is one
    return True


def find_capture(runner: Runner) -> str:
    """Return why a tiny call of the target cannot be recorded in a CUDA graph; "" if it can."""
    arrays, options, _ = tiny(runner)
    try:
        runner.call(arrays, options, runner.dtypes[0], REPLAY)
    except CandidateEnded as error:
        return " ".join(str(error).partition("got ")[2].split())
    return ""


def tiny(runner: Runner) -> tuple[dict[str, Array], dict[str, Any], Array]:
    """Return arrays and options of a tiny call, and a gradient of its output."""
    fit = runner.limits.fit
    ones = np.ones((fit("batch", 1), fit("heads", 1), fit("tokens", 2), fit("head_dim", 4)))
    return dict.fromkeys(("query", "key", "value"), ones), {"window": fit("window", 1)}, ones


def find_limits(runner: Runner) -> tuple[Limits, str]:
    """Return the limits that it has without declaring them, and the first error; see `survey`."""
    dtype, until = runner.dtypes[0], time.monotonic() + SURVEY_SECONDS

    def ask(sizes: dict[str, int], left: bool) -> str:
        if time.monotonic() > until:
            return ""  # a slow target is surveyed less
        ones = np.ones([sizes[name] for name in ("batch", "heads", "tokens", "head_dim")])
        arrays: dict[str, Array] = dict.fromkeys(("query", "key", "value"), ones)
        if left:
            arrays["attention_mask"] = np.broadcast_to(np.arange(sizes["tokens"]) > 0, ones.shape[::2]).copy()
        try:
            runner.call(arrays, {"window": sizes["window"]}, dtype)
        except Raised as error:
            return str(error)
        except CandidateEnded:
            pass  # the checks will meet it again and report it
        return ""

    return survey(ask, runner.target.limits, "padding" in runner.features)
