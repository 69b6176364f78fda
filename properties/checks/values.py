"""The numbers: against the reference, and laws of weighted means that need no reference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.bounds import Bound, attention_bound
from trueband.properties.bounds.tipping import output_may_tip
from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check, claim
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge


@check("the output equals the reference's within the bound of the case", Structure(takes=EVERY_KIND), weight=8)
def check_matches_reference(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case."""
    yield judge(probe.run(), probe.inputs.output, probe.inputs.bound)


@check(
    "with integer queries and keys every score is exact, and the output is right within the tighter bound",
    Structure(
        families=("integer",),
        head_dims=(1, 4, 16),
        exact_scale=True,
        without=frozenset({"scale"}),
        takes=EVERY_KIND - {"softcap", "slopes"},
    ),
    weight=2,
)
def check_integer_scores(probe: Probe) -> Iterator[Verdict]:
    """Bounded: products and sums of small integers are exact in any order, the rest is within the bound."""
    inputs = probe.inputs
    bound = attention_bound(inputs.arguments, inputs.precision, exact_products=True)
    yield judge(probe.run(), inputs.output, bound)


@check(
    "with far apart scores the output is the mean of the values of the largest score, and finite",
    Structure(families=("integer",), head_dims=(1, 4, 16), exact_scale=True, without=frozenset({"scale"})),
)
def check_temperature_limit(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the scores are exact in any order, and every order of what follows is within the bound."""
    hot = probe.inputs.map_arrays(lambda query: query * 2.0**13, ["query", "query_global"])
    bound = attention_bound(hot.arguments, hot.precision, exact_products=True)
    yield judge(probe.run(hot), hot.output, bound, "output for queries times 8192")


@check(
    "every output lies between the least and the largest value that the row attends, and that of a sink, 0",
    Structure(takes=EVERY_KIND),
)
def check_convexity(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a weighted mean lies between its terms but for what the bound allows."""
    inputs = probe.inputs.with_arrays(head_mask=None)
    output = probe.run(inputs)
    arguments = inputs.arguments
    value = np.where(inputs.global_rows[:, None, :, None, None], arguments.value_global[:, :, None], 0.0)
    value = value + np.where(inputs.global_rows[:, None, :, None, None], 0.0, arguments.value[:, :, None])
    seen = inputs.visible[..., None]
    least = np.where(seen, value, np.inf).min(axis=3)
    most = np.where(seen, value, -np.inf).max(axis=3)
    if arguments.sinks is not None:
        least, most = np.minimum(least, 0.0), np.maximum(most, 0.0)
    exists = inputs.visible.any(axis=-1, keepdims=True)
    nearest = np.clip(output, np.where(exists, least, 0.0), np.where(exists, most, 0.0))
    against = "as the nearest number between the least and the largest value that the row attends"
    yield judge(output, nearest, inputs.bound, against=against)


@check("where all values of a head are equal, that value comes out: the probabilities of a row sum to 1")
def check_constant_values(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the weights of a row sum to 1 in exact arithmetic."""
    first = lambda value: np.broadcast_to(value[:, :, :1], value.shape).copy()  # noqa: E731
    constant = probe.inputs.with_arrays(head_mask=None).map_arrays(first, ["value"])
    if "value_global" in constant.arrays:
        constant = constant.with_arrays(value_global=constant.arrays["value"])
    expected = np.where(constant.real[:, None, :, None], constant.arrays["value"], 0.0)
    what = "output where all values of a head are equal"
    yield judge(probe.run(constant), expected, constant.bound, what, "as they are")


@check("the output is additive in the values", Structure(families=("integer",), takes=EVERY_KIND))
def check_additive_in_values(probe: Probe) -> Iterator[Verdict]:
    """Bounded: an identity of exact arithmetic, judged by the errors of all three calls."""
    inputs = probe.inputs
    flipped = inputs.map_arrays(lambda value: value[..., ::-1].copy(), ["value", "value_global"])
    names = [name for name in ("value", "value_global") if name in inputs.arrays]
    total = inputs.with_arrays(**{name: inputs.arrays[name] + flipped.arrays[name] for name in names})
    bound = inputs.bound + flipped.bound + total.bound
    output, apart = probe.run(total), probe.run(inputs) + probe.run(flipped)
    yield judge(output, apart, bound, "output for the sum of two values", "as the sum of the outputs for each")


@check("eight times the values give eight times the output, but for what underflows", exact_with="deterministic")
def check_homogeneous_in_values(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: a power of two commutes with every rounding of the same operations, where nothing
    underflows or is tipped by what does; bounded without.
    """
    inputs = probe.inputs
    larger = inputs.map_arrays(lambda value: value * 8, ["value", "value_global"])
    once, eightfold = probe.run(inputs) * 8, probe.run(larger)
    tiny = inputs.precision.tiny_output
    underflows = np.abs(once) < 2.0**14 * tiny  # eight times the smallest normal number of float16
    rounding = Bound({"underflow": np.where(underflows, 9 * tiny, 0.0)}) + _tipped(inputs, larger, 8.0)
    compared, bound = "eight times the values", _apart(inputs, larger, 8.0)
    yield judge_same(probe, eightfold, once, bound, f"output for {compared}", compared, rounding=rounding)


@check(
    "values times a large or small power of two give the output times it, but for what underflows",
    exact_with="deterministic",
)
def check_powers_of_two(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: as eight times the values; bounded without, and where a sum may tip."""
    inputs = probe.inputs
    once, lost = probe.run(inputs), inputs.bound.terms["underflow"]
    for factor in (2.0**8,) if inputs.dtype == "float16" else (2.0**100, 2.0**-40):
        scaled = inputs.map_arrays(lambda value, factor=factor: value * factor, ["value", "value_global"])
        rounding = Bound({"underflow": factor * lost + scaled.bound.terms["underflow"]})
        rounding += _tipped(inputs, scaled, factor)
        yield judge_same(
            probe,
            probe.run(scaled),
            once * factor,
            _apart(inputs, scaled, factor),
            f"output of values times {factor:g}",
            f"{factor:g} times the values",
            rounding=rounding,
        )


@check("reordering the channels of the values, signs flipped, reorders the output")
def check_value_channels(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another place of a channel may be another order of its sum."""
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[3])
    sign = np.where(np.arange(inputs.shape[3]) % 2 == 0, 1.0, -1.0)
    turned = inputs.map_arrays(lambda value: value[..., order] * sign, ["value", "value_global"])
    expected = probe.run(inputs)[..., order] * sign
    bound = inputs.bound.at(np.s_[..., order]) + turned.bound
    yield judge(
        probe.run(turned), expected, bound, "output for reordered channels of the values", "as the output, reordered"
    )


@check("a token that sees only itself gives its own value", Structure(without=frozenset({"globals"})), ["any_window"])
def check_own_value(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a single weight of 1, which a kernel may come to by a quotient."""
    alone = probe.inputs.with_options(window=0).with_arrays(head_mask=None)
    expected = np.where(alone.real[:, None, :, None], alone.arrays["value"], 0.0)
    yield judge(probe.run(alone), expected, alone.bound, "output with window 0", "as the token's own value")


@check("a NaN among the values of a real token makes every row that attends it non-finite")
def check_nan_is_seen(probe: Probe) -> Iterator[Verdict]:
    """Exact: a sum with NaN in it is NaN in any order, whatever the weight."""
    inputs = probe.inputs.with_arrays(head_mask=None)
    poisoned, token = _poison(probe, inputs)
    output = probe.run(poisoned)
    attends = inputs.visible[..., token] & inputs.real[:, None, :] & ~inputs.is_global[:, None, :]
    finite = np.isfinite(output).all(axis=-1) & attends
    if not finite.any():
        yield claim(True, f"rows that attend token {token}, whose value is NaN")
        return
    batch, head, row = (int(place[0]) for place in np.nonzero(finite))
    value = float(output[batch, head, row, -1])
    message = f"row {row} attends token {token}, whose value is NaN, but its output is finite: {value:.9g}"
    where = f" (sequence {batch}, head {head})"
    yield claim(False, message + where, value, np.nan, (batch, head, row, inputs.shape[3] - 1))


@check("a NaN among the values of a real token reaches no row that does not attend it", needs=["nan_local"])
def check_nan_stays_local(probe: Probe) -> Iterator[Verdict]:
    """Bounded, for the finite rows; that they are finite is declared as nan_local."""
    inputs = probe.inputs.with_arrays(head_mask=None)
    poisoned, token = _poison(probe, inputs)
    output = probe.run(poisoned)
    spared = ~inputs.visible[..., token]
    yield judge(
        np.where(spared[..., None], output, 0.0),
        np.where(spared[..., None], inputs.output, 0.0),
        inputs.bound,
        f"output of a row that does not attend token {token}, whose value is NaN,",
    )


def _poison(probe: Probe, inputs: Inputs) -> tuple[Inputs, int]:
    """Put NaN into the last channel of the values of one token, in every row of the batch."""
    token = int(probe.random.integers(inputs.shape[2]))
    poisoned = {}
    for name in ("value", "value_global"):
        if name in inputs.arrays:
            array = inputs.arrays[name].copy()
            array[:, :, token, -1] = np.nan
            poisoned[name] = array
    return inputs.with_arrays(**poisoned), token


def _apart(inputs: Inputs, scaled: Inputs, factor: float) -> Bound:
    """Bound the distance of the output for values times a power of two from the output times it, in correct calls."""
    return inputs.bound.scaled(factor) + scaled.bound


def _tipped(inputs: Inputs, scaled: Inputs, factor: float) -> Bound:
    """Bound the same for two calls that add in one order: only what underflows may tip how a sum is rounded."""
    may_tip = output_may_tip(inputs.arguments, inputs.precision, factor)
    both = _apart(inputs, scaled, factor)
    return Bound({name: np.where(may_tip, term, 0.0) for name, term in both.terms.items()}, both.keys)
