"""Laws of the scores: changes of queries and keys that must not change the probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge

QUERIES, KEYS = ["query", "query_global"], ["key", "key_global"]


@check(
    "adding one vector to all keys changes nothing, however large the scores become", Structure(families=("integer",))
)
def check_key_shift(probe: Probe) -> Iterator[Verdict]:
    """Bounded: an identity of exact arithmetic, judged by the errors of both calls."""
    inputs = probe.inputs
    shift = 16.0 * probe.random.integers(-3, 4, inputs.shape[3])
    shifted = inputs.map_arrays(lambda key: key + shift, KEYS)
    what = "output with one vector added to all keys"
    yield judge(probe.run(shifted), probe.run(inputs), inputs.bound + shifted.bound, what, "as without it")


@check(
    "twice the queries with half the keys give the same", Structure(families=("integer",)), exact_with="deterministic"
)
def check_power_of_two_exchange(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: every product is the same, and a scale before it commutes with the powers of two;
    bounded without.
    """
    inputs = probe.inputs
    exchanged = inputs.map_arrays(lambda query: query * 2, QUERIES).map_arrays(lambda key: key / 2, KEYS)
    bound, compared = inputs.bound + exchanged.bound, "twice the queries with half the keys"
    yield judge_same(probe, probe.run(exchanged), probe.run(inputs), bound, f"output for {compared}", compared)


@check("reordering the channels of queries and keys alike, signs flipped, changes nothing")
def check_rotation(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another place of a channel is another order of the sum."""
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[3])
    sign = np.where(np.arange(inputs.shape[3]) % 2 == 0, 1.0, -1.0)
    rotated = inputs.map_arrays(lambda array: array[..., order] * sign, QUERIES + KEYS)
    yield judge(
        probe.run(rotated),
        probe.run(inputs),
        inputs.bound + rotated.bound,
        "output for reordered channels of queries and keys",
        "as without reordering",
    )


@check("the scale is a factor of the queries", Structure(families=("integer",)), ["scale"])
def check_scale_is_a_factor(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a kernel may scale before the product or after it."""
    inputs = probe.inputs.with_options(scale=0.25)
    scaled = inputs.map_arrays(lambda query: query / 4, QUERIES).with_options(scale=1.0)
    yield judge(
        probe.run(scaled),
        probe.run(inputs),
        inputs.bound + scaled.bound,
        "output for a quarter of the queries with scale 1",
        "as with scale 1/4",
    )


@check("no scale is a scale of 1 / sqrt(head_dim)", Structure(without=frozenset({"scale"})), needs=["scale"])
def check_default_scale(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a kernel may compute 1 / sqrt(head_dim) in another precision."""
    inputs = probe.inputs
    spelled_out = inputs.with_options(scale=inputs.shape[3] ** -0.5)
    yield judge(
        probe.run(spelled_out),
        probe.run(inputs),
        inputs.bound + spelled_out.bound,
        "output with scale 1 / sqrt(head_dim)",
        "as without a scale",
    )


@check("a scale of 0 gives the mean of the values, and a negative one that of turned queries", needs=["scale"])
def check_any_finite_scale(probe: Probe) -> Iterator[Verdict]:
    """Bounded: against the reference, and two calls by the errors of both."""
    flat = probe.inputs.with_options(scale=0.0)
    yield judge(probe.run(flat), flat.output, flat.bound, "output with scale 0")
    negative = probe.inputs.with_options(scale=-0.5)
    turned = probe.inputs.map_arrays(lambda query: -query, QUERIES).with_options(scale=0.5)
    yield judge(
        probe.run(negative),
        probe.run(turned),
        negative.bound + turned.bound,
        "output with scale -1/2",
        "as of turned queries with scale 1/2",
    )
