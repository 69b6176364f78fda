"""Compares two results that are equal in exact arithmetic: bit for bit where declared, else within bounds.

Whether two correct calls give the same bits depends on the machine as much as on the kernel: a matrix product may be
summed in another order at another address, for another shape, in another thread. Only a declaration holds a
kernel to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from trueband.properties.bounds import Bound
from trueband.properties.bounds.bound import exact
from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.results.verdict import Verdict, judge

SAME_CALL = "the same call again"
SAME_GRADIENTS = "the same call's gradients again"
REPEATS = 3


def judge_same(
    probe: Probe,
    actual: ArrayLike,
    expected: ArrayLike,
    bound: Bound,
    what: str,
    compared: str,
    feature: str = "deterministic",
    rounding: Bound | None = None,
    again: Callable[[], ArrayLike] | None = None,
) -> Verdict:
    """Compare two results of a candidate.

    Args:
        bound: how far two correct results may be apart, the errors of both; it decides without the feature.
        what: what was compared, such as "output".
        compared: the other call, such as `SAME_CALL`: the subject of "... gave other bits".
        feature: the feature that a candidate must declare to be held to the bits.
        rounding: what may differ even so, where numbers underflow; None: nothing.
        again: repeats the call of `expected`. If that gives other bits, the check of the feature reports it, and this
            comparison is judged by the bound.
    """
    if not probe.has(feature):
        verdict = judge(actual, expected, bound, what)
        return verdict if verdict.passed else replace(verdict, note=f"{compared} gave other numbers")
    verdict = judge(actual, expected, exact(np.shape(expected)) if rounding is None else rounding, what)
    if verdict.passed:
        return verdict
    loose = judge(actual, expected, bound, what)
    if loose.passed:
        if again is not None and any(not np.array_equal(again(), expected) for _ in range(REPEATS)):
            return loose
        return replace(
            verdict, note=f"{compared} gave other bits; declare features without {feature} if that is intended"
        )
    return replace(verdict, note=f"{compared} gave other numbers, farther apart than the bounds of both")


def gradient_again(probe: Probe, name: str, grad_output: Array, factor: float = 1.0) -> Callable[[], Array]:
    """Return the `again` of `judge_same` for a gradient of the case, times a factor."""
    return lambda: factor * probe.gradients(grad_output)[name]
