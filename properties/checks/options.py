"""The head mask, and the numbers that the simplest cases must give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge, judge_exact


@check("the head mask multiplies what a head gives", Structure(require=frozenset({"head_mask"}), heads=(1, 3)))
def check_head_mask_scales_heads(probe: Probe) -> Iterator[Verdict]:
    """Bounded, and exact for a factor of 0, whose products are 0."""
    inputs = probe.inputs
    plain = inputs.with_arrays(head_mask=None)
    factor = inputs.arrays["head_mask"][:, None, None]
    output = probe.run(inputs)
    yield judge(
        output,
        probe.run(plain) * factor,
        inputs.bound + plain.bound.scaled(factor),
        "output with a head mask",
        "as without it, times the mask",
    )
    yield judge_exact(np.where(factor == 0, output, 0.0), np.zeros_like(output), "head masked with 0")


@check("a head mask of ones changes nothing", Structure(without=frozenset({"head_mask"})), ["head_mask"])
def check_head_mask_of_ones(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a call without a mask may take another path."""
    inputs = probe.inputs
    ones = inputs.with_arrays(head_mask=np.ones(inputs.shape[1]))
    yield judge(
        probe.run(ones),
        probe.run(inputs),
        inputs.bound + ones.bound,
        "output with a head mask of ones",
        "as without a head mask",
    )


@check("a sequence of one token gives its own value", Structure(tokens=(1, 1), long=False))
def check_single_token(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a single weight of 1, which a kernel may come to by a quotient."""
    inputs = probe.inputs
    value = np.where(inputs.is_global[:, None, :, None], inputs.arguments.value_global, inputs.arguments.value)
    factor = inputs.arguments.head_mask[:, None, None]
    yield judge(
        probe.run(),
        value * factor * inputs.real[:, None, :, None],
        inputs.bound,
        "output for a sequence of one token",
        "as its own value",
    )
