"""What else makes the weights of a row: softcap, sinks and slopes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import representable
from trueband.properties.results.verdict import Verdict, judge

NO_GLOBALS = frozenset({"globals"})
FAR_BELOW = -(2.0**13)  # a sink that takes no weight in any format
FAR_ABOVE = 2.0**13  # one that leaves none


@check(
    "with a softcap no score is larger than it, however large the products are",
    Structure(require=frozenset({"softcap"}), families=("integer",), takes=EVERY_KIND - {"softcap"}),
)
def check_softcap_of_large_scores(probe: Probe) -> Iterator[Verdict]:
    """Bounded: tanh is near 1 there, and its error is part of the bound."""
    hot = probe.inputs.map_arrays(lambda query: query * 2.0**6, ["query", "query_global"])
    yield judge(probe.run(hot), hot.output, hot.bound, "output for queries times 64")


@check(
    "with queries 0 and values 1 a row gives what its keys have of the weight: n / (n + exp(sink))",
    Structure(
        require=frozenset({"sinks"}),
        without=NO_GLOBALS | {"head_mask", "scale"},
        takes=EVERY_KIND - {"slopes", "sinks"},
    ),
    weight=3,
)
def check_sinks_take_weight(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the scores are exactly 0, and every order of what follows is within the bound."""
    inputs = probe.inputs.map_arrays(np.zeros_like, ["query"]).map_arrays(np.ones_like, ["value"])
    if probe.has("lse"):
        output, lse = probe.with_lse(inputs)
        yield judge(lse, inputs.lse, inputs.lse_bound, "lse for queries 0")
    else:
        output = probe.run(inputs)
    yield judge(output, inputs.output, inputs.bound, "output for queries 0 and values 1")


@check(
    "a sink far below the scores takes no weight",
    Structure(without=NO_GLOBALS, families=("uniform", "normal"), takes=EVERY_KIND - {"sinks", "offset"}),
    ["sinks"],
)
def check_sink_far_below(probe: Probe) -> Iterator[Verdict]:
    """Bounded: its weight underflows in every format, and a call with sinks may take another path."""
    none = probe.inputs
    low = none.with_arrays(sinks=np.full(none.shape[1], FAR_BELOW))
    what = f"output with sinks of {FAR_BELOW:g}"
    yield judge(probe.run(low), probe.run(none), none.bound + low.bound, what, "as without sinks")


@check(
    "a sink far above the scores takes all the weight, and is the lse",
    Structure(without=NO_GLOBALS, families=("uniform", "normal"), takes=EVERY_KIND - {"sinks", "segments"}),
    ["sinks", "lse"],
    weight=3,
)
def check_sink_far_above(probe: Probe) -> Iterator[Verdict]:
    """Bounded: exp of what it is above the scores overflows in every format up to float32, and is nothing at most
    where the sink takes part in the maximum; lse is the sink but for its rounding.
    """
    high = probe.inputs.with_arrays(sinks=np.full(probe.inputs.shape[1], FAR_ABOVE))
    output, lse = probe.with_lse(high)
    yield judge(lse, high.lse, high.lse_bound, f"lse with sinks of {FAR_ABOVE:g}")
    yield judge(output, high.output, high.bound, f"output with sinks of {FAR_ABOVE:g}")


@check(
    "slopes of 0 take nothing off",
    Structure(without=NO_GLOBALS | {"dilation"}, takes=EVERY_KIND - {"slopes"}),
    ["slopes"],
)
def check_slopes_of_zero(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a call with slopes may take another path."""
    none = probe.inputs
    flat = none.with_arrays(slopes=np.zeros(none.shape[1]))
    yield judge(probe.run(flat), probe.run(none), none.bound + flat.bound, "output with slopes of 0", "as without")


@check(
    "the gradient of the sinks equals the reference's within the bound of the case",
    Structure(require=frozenset({"sinks"}), without=NO_GLOBALS, takes=EVERY_KIND),
    ["backward", "sinks_gradient"],
    weight=3,
)
def check_sinks_gradient(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound. Only kernels that declare it are held to it."""
    yield from _gradient(probe, "sinks", probe.inputs)


@check(
    "the gradient of the slopes equals the reference's within the bound of the case",
    Structure(require=frozenset({"slopes"}), without=NO_GLOBALS | {"dilation"}, tokens=(2, 40), takes=EVERY_KIND),
    ["backward", "slopes_gradient"],
    weight=3,
)
def check_slopes_gradient(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound. Only kernels that declare it are held to it. It is asked
    for a window of all keys, too, where most distances count.
    """
    yield from _gradient(probe, "slopes", probe.inputs)
    inputs = probe.inputs.with_arrays(segments=None, attention_mask=None)
    reach = probe.candidate.limits.covering(inputs.real.shape[1] + inputs.shape[2])
    yield from _gradient(probe, "slopes", inputs.with_options(window=reach))


def _gradient(probe: Probe, name: str, own: Inputs) -> Iterator[Verdict]:
    """Yield verdicts on the gradient of an argument: in general, where nothing cancels, and through lse alone."""
    positive = probe.random.integers(1, 9, own.output_shape) / 64
    ones, upstream = own.map_arrays(np.ones_like, ["value"]), probe.case.grad_output()
    ways: list[tuple[Inputs, Array, Array | None]] = [(own, upstream, None), (ones, positive, None)]
    if probe.has("lse_gradient"):
        ways.append((own, np.zeros_like(upstream), probe.case.grad_lse()))
    for inputs, grad_output, grad_lse in ways:
        expected = getattr(inputs.gradients(grad_output, grad_lse), name)
        bound = inputs.gradient_bounds(grad_output, grad_lse)[name]
        if representable(inputs, [bound.total + np.abs(expected)]):
            names = [*inputs.floating, name]
            computed = probe.gradients(grad_output, inputs, names, grad_lse=grad_lse)[name]
            yield judge(
                computed, expected, bound, f"gradient of {name}{' through lse' if grad_lse is not None else ''}"
            )
