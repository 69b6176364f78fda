"""Values of another head dim than that of queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.limits import NotTaken
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import representable
from trueband.properties.results.verdict import Verdict, judge

OWN_VALUE_DIM = Structure(require=frozenset({"value_dim"}), takes=EVERY_KIND)
AGAINST = "as where zeros make it the head dim of all"


@check("values of another head dim give what they give where zeros are appended to the smaller", OWN_VALUE_DIM)
def check_value_dim_padded(probe: Probe) -> Iterator[Verdict]:
    """Bounded: products with 0 add nothing, and another head dim may be another path."""
    own = probe.inputs
    padded, channels = _padded(probe), own.output_shape[3]
    bound = own.bound + padded.bound.at(np.s_[..., :channels])
    what = f"output for values of head dim {channels}, keys of {own.shape[3]},"
    yield judge(probe.run(own), probe.run(padded)[..., :channels], bound, what, AGAINST)


@check(
    "values of another head dim give the gradients that they give where zeros are appended to the smaller",
    replace(OWN_VALUE_DIM, long=False),
    ["backward"],
    weight=2,
)
def check_value_dim_padded_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: products with 0 add nothing, and another head dim may be another path."""
    own, padded, grad_output = probe.inputs, _padded(probe), probe.case.grad_output()
    upstream = _wider(grad_output, padded.output_shape[3])
    bounds, bounds_padded = own.gradient_bounds(grad_output), padded.gradient_bounds(upstream)
    right = own.gradients(grad_output)
    if not representable(own, [getattr(right, name) for name in own.floating]):
        return
    gradients, expected = probe.gradients(grad_output, own), probe.gradients(upstream, padded)
    for name, gradient in gradients.items():
        kept = np.s_[..., : gradient.shape[-1]]
        what = f"gradient of {name} for values of head dim {own.output_shape[3]}, keys of {own.shape[3]},"
        yield judge(gradient, expected[name][kept], bounds[name] + bounds_padded[name].at(kept), what, AGAINST)


def _padded(probe: Probe) -> Inputs:
    """Return the call with zeros appended to the smaller head dim. Raises NotTaken if the scale cannot be kept."""
    own = probe.inputs
    head_dim, value_dim = own.shape[3], own.output_shape[3]
    if value_dim > head_dim and not probe.has("scale"):
        raise NotTaken("a scale that is not that of its head dim")
    padded = own.map_arrays(lambda array: _wider(array, max(head_dim, value_dim)), own.floating)
    if value_dim < head_dim or "scale" in own.options:
        return padded
    return padded.with_options(scale=head_dim**-0.5)


def _wider(array: Array, channels: int) -> Array:
    return np.pad(array, [(0, 0)] * 3 + [(0, channels - array.shape[-1])])
