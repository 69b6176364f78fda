"""Reads off the output exactly which keys a row attends: no wrong mask can hide in rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds import attention_bound
from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.decode import (
    base_of,
    countable,
    decoding_inputs,
    digits_of,
    expected_counts,
    shares_by_digit,
)
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.limits import NotTaken
from trueband.properties.cases.strategies import POWERS_OF_4, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge, judge_exact

PLAIN = frozenset({"head_mask", "scale"})


@check(
    "with queries 0 and one-hot values the output tells which keys a row attends, each once: exactly those",
    Structure(
        families=("uniform",), head_dims=(1,), without=PLAIN, takes=EVERY_KIND - {"value_dim", "sinks", "slopes"}
    ),
    weight=6,
)
def check_mask_decoding(probe: Probe) -> Iterator[Verdict]:
    """Exact: counts are whole, and read off only where the bound tells one from the next."""
    limits = probe.candidate.limits
    base = base_of(probe.inputs, limits)
    for digit in digits_of(probe.inputs, limits):
        inputs = decoding_inputs(probe.inputs, limits, digit)
        output = probe.run(inputs)
        counts = expected_counts(inputs)
        for verdict in (
            judge_exact(countable(output, inputs, counts), counts, "decoded count of keys"),
            judge(output, inputs.output, inputs.bound),
        ):
            seen = "" if verdict.passed else f"{_seen(inputs, output, verdict, base)}; "
            yield replace(verdict, what=seen + verdict.what)


@check(
    "a query that matches one key brings back that key's value, where the row attends it, and only there",
    Structure(families=("integer",), tokens=(1, 40), long=False, without=PLAIN),
    weight=3,
)
def check_associative_recall(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the scores are exact in any order, and every order of what follows is within the bound."""
    batch, heads, tokens, _ = probe.inputs.shape
    least = 4 ** (((tokens - 1).bit_length() + 1) // 2)  # the scale is a power of two: it may come before the product
    sizes = [size for size in POWERS_OF_4 if size >= least and probe.candidate.limits.of("head_dim").takes(size)]
    if not sizes:
        raise NotTaken(f"head_dim of a power of 4 from {least} on")
    size = sizes[0]
    codes = _orthogonal(size)[:tokens]  # (n, size) of +-1
    wanted = int(probe.random.integers(tokens))
    shape = (batch, heads, tokens, size)
    arrays = {
        "query": np.broadcast_to(1024.0 * codes[wanted], shape).copy(),
        "key": np.broadcast_to(codes, shape).copy(),
        "value": np.broadcast_to(_numbered(tokens, size), shape).copy(),
    }
    if "query_global" in probe.inputs.arrays:
        arrays |= {"query_global": arrays["query"], "key_global": arrays["key"], "value_global": -arrays["value"]}
    inputs = probe.inputs.with_arrays(**arrays)
    bound = attention_bound(inputs.arguments, inputs.precision, exact_products=True)
    yield judge(
        probe.run(inputs), inputs.output, bound, f"output for queries that match the key of token {wanted} alone"
    )


@check(
    "changing every token that a row does not attend leaves the row unchanged",
    Structure(tokens=(2, 40), takes=EVERY_KIND - {"offset"}),
    weight=3,
    exact_with="deterministic",
)
def check_locality(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what a row attends is the same in both calls, and so are shapes and masks; bounded
    without, where 2^110 times a weight that should be 0 is still seen.
    """
    inputs = probe.inputs
    row = int(probe.random.integers(inputs.shape[2]))
    before = probe.run(inputs)[:, :, row]
    others = np.logical_not(inputs.visible[:, :, row, :].any(axis=1))  # (b, n): attended by no head of the row
    others[:, row] = False
    if not others.any():
        return
    for size in (1.0, 2.0**14 if inputs.dtype == "float16" else 2.0**110):
        changed = _change(inputs, others, size, probe.random)
        after, bound = probe.run(changed)[:, :, row], inputs.bound.at(np.s_[:, :, row]).scaled(2)
        what = f"row {row} after a change of unattended tokens"
        yield judge_same(probe, after, before, bound, what, "the same row beside other numbers that it does not attend")


@check("changing the value of a token changes every row that attends it", Structure(families=("integer",)))
def check_reachability(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the effect of one value is its weight, 1/n."""
    inputs = probe.inputs.with_arrays(head_mask=None).map_arrays(np.zeros_like, ["query", "query_global"])
    token = int(probe.random.integers(inputs.shape[2]))
    larger = inputs.map_arrays(lambda array: _add(array, token, 64.0), ["value", "value_global"])
    step = np.where(inputs.visible[..., token], 64.0 / np.maximum(inputs.visible.sum(axis=-1), 1), 0.0)
    expected = probe.run(inputs) + step[..., None]
    what = f"output with 64 added to the value of token {token}"
    yield judge(probe.run(larger), expected, inputs.bound + larger.bound, what, "as without it and 64 times its weight")


@check(
    "no row depends on a later token",
    Structure(require=frozenset({"causal"}), tokens=(2, 40), takes=EVERY_KIND - {"offset"}),
    weight=2,
    exact_with="deterministic",
)
def check_causality(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what the rows attend is the same in both calls; bounded without."""
    inputs = probe.inputs
    last = int(probe.random.integers(inputs.shape[2] - 1))
    later = np.zeros(inputs.real.shape, dtype=bool)
    later[:, last + 1 :] = True
    before, after = probe.run(inputs), probe.run(_change(inputs, later, 1.0, probe.random))
    rows = np.s_[:, :, : last + 1]
    bound, compared = inputs.bound.at(rows).scaled(2), "the same row before other later tokens"
    yield judge_same(probe, after[rows], before[rows], bound, f"rows up to {last}", compared)


@check(
    "a value reaches exactly the rows that attend its token",
    Structure(without=PLAIN, takes=EVERY_KIND - {"slopes"}),
    weight=2,
)
def check_support_of_a_value(probe: Probe) -> Iterator[Verdict]:
    """Exact: weights are 1/n, far from underflow, and a sum of products with 0 is 0 in any order."""
    inputs = probe.inputs.map_arrays(np.zeros_like, ["query", "query_global"])
    values = np.zeros_like(inputs.arrays["value"])
    token = int(probe.random.integers(values.shape[2]))
    values[:, :, token] = 1.0
    inputs = inputs.map_arrays(lambda _: values, ["value", "value_global"])
    reached = probe.run(inputs) != 0
    what = f"whether the value of token {token} reaches the output"
    yield judge_exact(reached, np.broadcast_to(inputs.visible[..., token, None], reached.shape), what)


def _seen(inputs: Inputs, output: np.ndarray, verdict: Verdict, base: int) -> str:
    """Describe which keys the row of a failed verdict has seen, and which it should have seen."""
    b, h, row, _ = verdict.index
    tokens = inputs.visible.shape[-1]
    weights = shares_by_digit(output[b, h, row], base)[:tokens]
    if tokens > base or not np.isfinite(weights).all() or not (weights > 0).any():
        return f"row {row}"
    counts = np.rint(weights / weights[weights > 0].min()).astype(int)
    seen = [key for key in range(tokens) for _ in range(min(counts[key], 2))]
    message = f"row {row} sees the keys {seen} instead of {np.flatnonzero(inputs.visible[b, h, row]).tolist()}"
    total = f"{weights.sum():.3g}"
    return message if total == "1" else f"{message}, and its weights sum to {total}"


def _orthogonal(size: int) -> np.ndarray:
    """Return Sylvester's matrix: rows of +-1, orthogonal to each other."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _numbered(tokens: int, size: int) -> np.ndarray:
    """Return values (n, size) of small integers, different for every token."""
    return (np.arange(1, tokens + 1)[:, None] + 7 * np.arange(size)[None, :]) % 61 + 1.0


def _change(inputs: Inputs, where: np.ndarray, size: float, random: np.random.Generator) -> Inputs:
    """Write other finite numbers of the given size into all floating arrays at the tokens `where` (b, n)."""
    where = where[:, None, :, None]

    def changed(array: np.ndarray) -> np.ndarray:
        return np.where(where, size * random.integers(1, 4, array.shape), array)

    return inputs.map_arrays(changed, inputs.floating)


def _add(array: np.ndarray, token: int, amount: float) -> np.ndarray:
    larger = array.copy()
    larger[:, :, token] += amount
    return larger
