"""The logarithm of a row's normaliser, and what it is for: results of parts that are merged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import representable
from trueband.properties.results.verdict import Verdict, judge

ANYTHING = Structure(takes=EVERY_KIND)


@check("lse equals the reference's within the bound of the case", ANYTHING, ["lse"], weight=6)
def check_lse_matches_reference(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case; -inf where a row has no term, exactly."""
    output, lse = probe.with_lse()
    yield judge(lse, probe.inputs.lse, probe.inputs.lse_bound, "lse")
    yield judge(output, probe.inputs.output, probe.inputs.bound, "output beside lse")


@check(
    "gradients through lse equal the reference's within the bounds of the case",
    ANYTHING,
    ["backward", "lse", "lse_gradient"],
    weight=6,
)
def check_lse_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case."""
    inputs, grad_output, grad_lse = probe.inputs, probe.case.grad_output(), probe.case.grad_lse()
    options = [name for name in ("sinks", "slopes") if name in inputs.arrays and probe.has(f"{name}_gradient")]
    names = [*inputs.floating, *options]
    for upstream in (grad_output, np.zeros_like(grad_output)):
        expected, bounds = inputs.gradients(upstream, grad_lse), inputs.gradient_bounds(upstream, grad_lse)
        if not representable(inputs, [getattr(expected, name) for name in names]):
            return
        manner = "through output and lse" if upstream.any() else "through lse alone"
        for name, gradient in probe.gradients(upstream, names=names, grad_lse=grad_lse).items():
            yield judge(gradient, getattr(expected, name), bounds[name], f"gradient of {name} {manner}")


@check(
    "the results of two parts of the keys, merged by their lse, are that of all keys",
    Structure(
        without=frozenset({"globals", "head_mask", "dilation"}),
        tokens=(2, 40),
        long=False,
        takes=EVERY_KIND - {"sinks", "segments", "offset"},
    ),
    ["lse", "offset"],
    weight=3,
)
def check_parts_merge(probe: Probe) -> Iterator[Verdict]:
    """Bounded: an identity of exact arithmetic, judged by the errors of both parts."""
    whole = probe.inputs
    cut = 1 + int(probe.random.integers(whole.real.shape[1] - 1))
    parts = [_part(whole, 0, cut), _part(whole, cut, whole.real.shape[1])]
    results = [probe.with_lse(part) for part in parts]
    merged = _merged(results)
    growth = np.exp(2 * sum(np.where(np.isfinite(part.lse), part.lse_bound.total, 0.0) for part in parts))[..., None]
    all_keys = np.where(np.isfinite(whole.lse), whole.lse, np.inf)  # a masked row counts as a real one in a part
    shares = [np.exp(part.lse - all_keys)[..., None] for part in parts]
    error = sum(
        share * (growth * part.bound.total + (growth - 1) * np.abs(part.output))
        for part, share in zip(parts, shares, strict=True)
    )
    real = whole.real_rows[:, None, :, None]
    # The merge itself is float64: its few roundings are far below those of any part.
    rounding = 16 * 2.0**-53 * np.abs(whole.arrays["value"]).max()
    bound = Bound({"parts": np.where(real, error, 0.0), "merge": np.where(real, rounding, 0.0 * error)})
    what = f"output of keys 0..{cut - 1} and of the others, merged by their lse"
    yield judge(np.where(real, merged, 0.0), whole.output, bound, what)


@np.errstate(over="ignore", invalid="ignore")  # of a kernel whose lse is not what it should be
def _merged(results: list[tuple[Array, Array]]) -> Array:
    """Return the output (b, h, m, e) of which there are parts, each with its lse (b, h, m)."""
    largest = np.maximum(results[0][1], results[1][1])
    largest = np.where(np.isfinite(largest), largest, 0.0)
    weights = [np.exp(lse - largest) for _, lse in results]
    total = np.where(sum(weights) > 0, sum(weights), 1.0)
    parts = [output * (weight / total)[..., None] for (output, _), weight in zip(results, weights, strict=True)]
    return parts[0] + parts[1]


def _part(whole: Inputs, first: int, last: int) -> Inputs:
    """Return the same queries with some of the keys."""
    cut = {name: whole.arrays[name][:, :, first:last] for name in ("key", "value")}
    if "attention_mask" in whole.arrays:
        cut["attention_mask"] = whole.arrays["attention_mask"][:, first:last]
    return whole.with_arrays(**cut).with_options(offset=-first or None)
