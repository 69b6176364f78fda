"""Grouped heads: query head x reads head x // r of keys and values, and gives its gradients to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge

GROUPED = Structure(require=frozenset({"gqa"}), takes=EVERY_KIND)
KEYS_AND_VALUES = ("key", "value", "key_global", "value_global")


@check(
    "query head x reads the values of key head x // r",
    Structure(
        require=frozenset({"gqa"}),
        families=("uniform",),
        heads=(1, 4),
        without=frozenset({"head_mask", "scale"}),
        takes=EVERY_KIND - {"sinks", "slopes"},
    ),
    weight=2,
)
def check_key_heads_serve_groups(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a mean of equal numbers, which tell the head that they come from."""
    inputs = probe.inputs.map_arrays(np.zeros_like, ["query", "query_global"])
    numbered = lambda value: np.zeros_like(value) + np.arange(1.0, value.shape[1] + 1)[:, None, None]  # noqa: E731
    inputs = inputs.map_arrays(numbered, ["value", "value_global"])
    output = probe.run(inputs)
    verdict = judge(
        output, inputs.output, inputs.bound, "output where every value is the number of its head, from 1 on"
    )
    if verdict.passed:
        yield verdict
        return
    batch, head, row, channel = verdict.index
    read, right = output[batch, head, row, channel], inputs.output[batch, head, row, channel]
    yield replace(verdict, note=f"query head {head} reads key head {read - 1:.3g} instead of {right - 1:.0f}")


@check("grouped heads give what repeated heads of keys and values give", GROUPED)
def check_grouped_is_repeated(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another number of key heads may be another path."""
    grouped = probe.inputs
    repeated = _repeated(grouped)
    bound = grouped.bound + repeated.bound
    what = "output of grouped heads"
    yield judge(probe.run(grouped), probe.run(repeated), bound, what, "as of repeated heads of keys and values")


@check("the gradient of a key head is the sum of those of its repetitions", replace(GROUPED, long=False), ["backward"])
def check_grouped_gradients_are_sums(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another number of key heads may be another path, and the sum over a group is rounded."""
    grouped, grad_output = probe.inputs, probe.case.grad_output()
    repeated = _repeated(grouped)
    together, apart = probe.gradients(grad_output, grouped), probe.gradients(grad_output, repeated)
    bounds, bounds_apart = grouped.gradient_bounds(grad_output), repeated.gradient_bounds(grad_output)
    for name in grouped.floating:
        if not np.isfinite(together[name]).all():
            continue  # what float16 does not hold
        expected, error = apart[name], bounds_apart[name].total
        if name in KEYS_AND_VALUES:
            shape = grouped.arrays[name].shape
            grouping = (shape[0], shape[1], -1, *shape[2:])
            expected, error = (each.reshape(grouping).sum(axis=2) for each in (expected, error))
        what, against = f"gradient of {name} of grouped heads", "as the sum over its repetitions"
        yield judge(together[name], expected, bounds[name] + Bound({"repeated": error}), what, against)


def _repeated(inputs: Inputs) -> Inputs:
    names = [name for name in KEYS_AND_VALUES if name in inputs.arrays]
    return inputs.with_arrays(**{name: inputs.of_query_heads(name) for name in names})
