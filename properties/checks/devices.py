"""Devices: a call works on the stream of its caller, and a graph of it can be replayed."""

from __future__ import annotations

from collections.abc import Iterator

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.backward import REPLAY, STREAM, Backward
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import RightGradients
from trueband.properties.checks.same import SAME_CALL, judge_same
from trueband.properties.results.verdict import Verdict, judge

ANYTHING = Structure(takes=EVERY_KIND)


@check(
    "a call on another stream waits for what was written there before, and its result is there when the stream is done",
    ANYTHING,
    ["streams"],
    exact_with="deterministic",
)
def check_other_stream(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: the same call again; bounded without. A stream keeps its order (CUDA)."""
    yield from _in_a_way(probe, STREAM, "output on another stream")


@check(
    "a forward and a backward pass on another stream wait for what was written there before",
    ANYTHING,
    ["streams", "backward"],
)
def check_other_stream_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: each gradient against the reference's. torch runs a backward pass on the stream of its forward pass."""
    grad_output = probe.case.grad_output()
    found = probe.gradients(grad_output, how=Backward(layout=STREAM))
    yield from RightGradients(probe.inputs, grad_output).judge(found)


@check(
    "a CUDA graph that was recorded with other numbers gives what a call gives when it is replayed",
    ANYTHING,
    ["streams", "capturable"],
    exact_with="deterministic",
)
def check_graph_replay(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: a replay launches what the call has launched; bounded without."""
    yield from _in_a_way(probe, REPLAY, "output of a replayed graph")


def _in_a_way(probe: Probe, way: str, what: str) -> Iterator[Verdict]:
    """Judge the result of a call that is made in another way, by the reference, and by the result of a plain call."""
    inputs, plain = probe.inputs, probe.run()
    output = probe.run(layout=way)
    yield judge(output, inputs.output, inputs.bound, what)
    yield judge_same(probe, output, plain, inputs.bound.scaled(2), what, SAME_CALL)
