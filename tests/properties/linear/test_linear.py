"""The witness for large inputs says what the dense reference and its bounds say, of every structure and dtype."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from trueband.properties.bounds import DTYPES, Bound
from trueband.properties.bounds.attention import softmax_errors
from trueband.properties.candidate.target import WHOLE_CONTRACT
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure, choose_case
from trueband.properties.linear.choice import BLOCKS, MOST, choose_rows
from trueband.properties.linear.codes import CODES, code_of_channel, coded, codes
from trueband.properties.linear.counts import counting_inputs, expected_counts
from trueband.properties.linear.gradients import (
    SomeGradients,
    gradients_of_keys,
    gradients_of_rows,
    query_gradients,
)
from trueband.properties.linear.patches import patches
from trueband.properties.linear.rows import at_rows, reference_at
from trueband.properties.linear.sums import Sight, band_sums
from trueband.properties.linear.uniform_gradients import SIZES, UniformCall
from trueband.properties.results.verdict import judge
from trueband.reference.attention import global_rows, local_rows

CASES = 24
ROUNDOFF = 2.0**-53


def some_cases(dtype: str, accumulator: str | None = None) -> Iterator[tuple[Case, Inputs]]:
    choices = RandomChoices(random.Random(DTYPES.index(dtype)))
    for _ in range(CASES):
        case = choose_case(choices, dtype, WHOLE_CONTRACT, Structure())
        yield case, replace(case.inputs(), accumulator=accumulator)


def generator(case: Case) -> np.random.Generator:
    return np.random.default_rng(case.seed)


def in_float64(inputs: Inputs) -> Inputs:
    """The same judged as float64: how far two orders of summation of the reference may be apart."""
    return replace(inputs, dtype="float64", accumulator=None)


def same(actual: np.ndarray, expected: np.ndarray, rounding: np.ndarray) -> None:
    """Within the bounds of both."""
    verdict = judge(actual, expected, Bound({"rounding": 2 * rounding}))
    assert verdict.passed, verdict


def same_bound(actual: np.ndarray, expected: np.ndarray, inputs: Inputs) -> None:
    verdict = judge(actual, expected, Bound({"rounding": rounding_of_bounds(inputs) * expected}))
    assert verdict.passed, verdict


def at_least(actual: np.ndarray, expected: np.ndarray, inputs: Inputs) -> None:
    same_bound(np.minimum(actual, expected), expected, inputs)


def rounding_of_bounds(inputs: Inputs) -> float:
    """Relative error of a bound: nested sums of positive terms, and of probabilities that are functions of scores."""
    a, precision = inputs.arguments, in_float64(inputs).precision
    kinds = (local_rows(a), a.query, a.key), (global_rows(a), a.query_global, a.key_global)
    of_scores = max(float(softmax_errors(*kind, a.scale, precision).argument.max()) for kind in kinds)
    _, _, tokens, head_dim = inputs.shape
    return 8 * (of_scores + (tokens + head_dim + 16) * ROUNDOFF)


@pytest.mark.parametrize("dtype", DTYPES)
def test_some_rows_are_those_of_the_reference_with_its_bounds(dtype: str) -> None:
    for accumulator in (None, "tf32", "bfloat16"):
        for case, inputs in some_cases(dtype, accumulator):
            rows = choose_rows(inputs.real, inputs.is_global, generator(case), most=9)
            found = reference_at(inputs, rows)
            same(found.output, at_rows(inputs.output, rows), at_rows(in_float64(inputs).bound.total, rows))
            same_bound(found.bound.total, at_rows(inputs.bound.total, rows), inputs)
            assert found.bound.keys is not None
            assert np.array_equal(found.bound.keys, at_rows(inputs.visible.sum(axis=-1)[..., None], rows))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_in_some_rows_gives_every_key_the_gradients_of_the_reference(dtype: str) -> None:
    """Within bounds that count these rows only: at most those of the dense one, and 0 where it is exactly 0."""
    for case, inputs in some_cases(dtype):
        rows = choose_rows(inputs.real, inputs.is_global, generator(case), most=9)
        of_rows = at_rows(case.grad_output(), rows)
        grad_output = np.zeros(inputs.shape)
        np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
        expected, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
        rounding = in_float64(inputs).gradient_bounds(grad_output)
        told: dict[str, np.ndarray] = {}
        for some in gradients_of_rows(inputs, of_rows, rows):
            same(some.exact, placed(some, getattr(expected, some.name)), placed(some, rounding[some.name].total))
            at_least(placed(some, bounds[some.name].total), some.bound.total, inputs)
            assert ((some.bound.total > 0) | (some.exact == 0)).all()
            told.setdefault(some.name, np.zeros(inputs.shape[:2]))[some.batch, some.heads] += 1
        assert set(told) == set(inputs.floating)
        assert all((count == 1).all() for count in told.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_some_queries_and_some_keys_have_the_gradients_and_the_bounds_of_the_reference(dtype: str) -> None:
    for case, inputs in some_cases(dtype):
        grad_output, random = case.grad_output(), generator(case)
        rows = choose_rows(inputs.real, inputs.is_global, random, most=9)
        found = list(query_gradients(inputs, at_rows(grad_output, rows), rows))
        for batch, local in enumerate(inputs.real & ~inputs.is_global):
            if local.any():
                keys = np.flatnonzero(local)[int(random.integers(local.sum())) :][:3]
                found += gradients_of_keys(inputs, grad_output, batch, case.heads - 1, keys)
        expected, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
        rounding = in_float64(inputs).gradient_bounds(grad_output)
        for some in found:
            same(some.exact, placed(some, getattr(expected, some.name)), placed(some, rounding[some.name].total))
            same_bound(some.bound.total, placed(some, bounds[some.name].total), inputs)


def placed(some: SomeGradients, whole: np.ndarray) -> np.ndarray:
    return whole[some.batch, some.heads][:, some.positions]


@pytest.mark.evidence
@pytest.mark.parametrize("which", range(CODES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_are_whole_and_those_of_the_reference_with_its_bounds(dtype: str, which: int) -> None:
    for accumulator in (None, "tf32", "bfloat16"):
        for case, structure in some_cases(dtype, accumulator):
            inputs = counting_inputs(structure, case.head_dim, which)
            for one in expected_counts(inputs, which):
                weight = inputs.structure.head_mask[one.head]
                assert np.array_equal(np.rint(one.counts / (weight or 1)) * weight, one.counts)
                place = one.batch, one.head
                same(one.output, inputs.output[place], in_float64(inputs).bound.total[place])
                same_bound(one.bound.total, inputs.bound.total[place], inputs)


@pytest.mark.evidence
@pytest.mark.parametrize("zero", ["query", "key"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_gradients_are_those_of_the_reference_within_bounds_that_are_no_less(dtype: str, zero: str) -> None:
    for accumulator in (None, "tf32", "bfloat16"):
        for case, structure in some_cases(dtype, accumulator):
            call = UniformCall.of(structure, case.head_dim, zero, case.seed % CODES, generator(case))
            inputs = call.inputs
            expected, bounds = inputs.gradients(call.grad_output), inputs.gradient_bounds(call.grad_output)
            rounding = in_float64(inputs).gradient_bounds(call.grad_output)
            # Prefix sums of as many terms as tokens, each at most `SIZES` times the scale, which may be more than 1.
            prefix = case.tokens**2 * SIZES * max(1.0, abs(inputs.structure.scale)) * ROUNDOFF
            for some in call.expected():
                allowed = placed(some, rounding[some.name].total) + prefix
                same(some.exact, placed(some, getattr(expected, some.name)), allowed)
                dense = placed(some, bounds[some.name].total)
                if is_exact(some, zero):
                    assert not some.bound.total.any()
                    assert not some.exact.any()
                else:
                    at_least(some.bound.total, dense, inputs)


def is_exact(some: SomeGradients, zero: str) -> bool:
    """Gradients of keys where queries are 0, and of queries where keys are."""
    return some.name.removesuffix("_global") == {"query": "key", "key": "query"}[zero]


def test_sums_over_who_sees_whom_are_products_with_the_dense_mask() -> None:
    for case, inputs in some_cases("float32"):
        arguments = inputs.arguments
        terms = generator(case).integers(-9, 10, (case.tokens, 2)).astype(float)
        for is_global, dense in ((False, local_rows(arguments)), (True, global_rows(arguments))):
            for b, h in np.ndindex(case.batch, case.heads):
                visible = dense.visible[b, h]
                sight = Sight(inputs.structure, b, inputs.structure.dilations[h], is_global)
                assert np.array_equal(sight.over_keys(terms), visible @ terms)
                assert np.array_equal(sight.over_rows(terms), visible.T @ terms)
                assert np.array_equal(sight.keys[:, 0], visible.sum(axis=1))


def test_a_sum_that_leaves_out_the_last_position_would_be_seen() -> None:
    """Named wrong implementation: a window that ends before its last key."""
    terms = np.arange(7.0)[:, None]
    whole = band_sums(terms, 2, 2, 1)
    assert np.array_equal(whole[:, 0], [3, 6, 10, 15, 20, 18, 15])
    assert not np.array_equal(whole, band_sums(terms, 2, 1, 1))


def test_codes_tell_positions_apart_and_channels_tell_heads_apart() -> None:
    for head_dim, tokens in ((32, 4096), (64, 4096), (72, 5000)):
        both = {tuple(pair) for pair in np.stack([codes(tokens, head_dim, which) for which in range(CODES)]).T}
        assert len(both) >= min(tokens, head_dim**2) * 0.9
        far = codes(tokens, head_dim, 1)
        assert (far[head_dim**2 :] != far[: -(head_dim**2)]).mean() > 0.9 if tokens > head_dim**2 else True
        maps = {tuple(code_of_channel(head_dim, number)) for number in range(8 * head_dim)}
        assert len(maps) == 8 * head_dim
    position = codes(40, 8, 0)
    array = coded(position, 2, 3, 8, first=5, weight=2.0)
    assert (array.sum(axis=-1) == 2).all()
    for b, h in np.ndindex(2, 3):
        assert np.array_equal(array[b, h], 2.0 * (code_of_channel(8, 5 + 3 * b + h) == position[:, None]))


def test_rows_are_chosen_at_ends_edges_globals_and_multiples() -> None:
    real, is_global = np.ones((2, 3000), dtype=bool), np.zeros((2, 3000), dtype=bool)
    real[0, 2800:] = False
    is_global[:, 1234] = True
    rows = choose_rows(real, is_global, np.random.default_rng(0))
    assert rows.shape == (2, MOST)
    for of_sequence in rows:
        assert (np.diff(of_sequence) > 0).all()
        assert {0, 2999, 1234, 1235} <= set(of_sequence.tolist())
        for block in BLOCKS:
            last = 2999 // block * block
            assert {last - 1, last} <= set(of_sequence.tolist())
            assert ((of_sequence % block == 0) & (of_sequence < last)).any()
    assert {2799, 2800} <= set(rows[0].tolist())
    short = choose_rows(real[:, :20], is_global[:, :20], np.random.default_rng(0))
    assert np.array_equal(short, [np.arange(20)] * 2)


def test_patches_hold_every_chosen_real_row_once_and_few_keys() -> None:
    case = Case(tokens=4000, window=100, head_dim=64, masked=(tuple(range(3900, 4000)),), global_=((0, 2000, 3950),))
    inputs = case.inputs()
    rows = choose_rows(inputs.real, inputs.is_global, np.random.default_rng(0))
    found = patches(inputs.structure, 0, rows[0], 64)
    assert sorted(row for patch in found for row in patch.rows) == rows[0][inputs.real[0, rows[0]]].tolist()
    assert [patch.is_global for patch in found] == [True] + [False] * (len(found) - 1)
    assert sum(len(patch.columns) for patch in found if not patch.is_global) < 8000


def test_nothing_is_as_large_as_the_square_of_the_length() -> None:
    """16,384 tokens of 8 heads: one array of n x n of one head alone would be 2 GiB."""
    shape, random = (1, 8, 16_384, 64), np.random.default_rng(0)
    period = random.standard_normal((3, 1, 8, 1, 64))
    arrays = {name: np.broadcast_to(each, shape) for name, each in zip(("query", "key", "value"), period, strict=True)}
    is_global = np.zeros((1, 16_384), dtype=bool)
    is_global[0, [0, 9000]] = True
    inputs = Inputs({**arrays, "global_attention_mask": is_global}, {"window": 512})
    rows = choose_rows(inputs.real, inputs.is_global, random)
    grad = random.standard_normal((1, 8, rows.shape[1], 64))
    tracemalloc.start()
    assert np.isfinite(reference_at(inputs, rows).output).all()
    for some in gradients_of_rows(inputs, grad, rows):
        assert np.isfinite(some.exact).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    of_head = 16_384 * 64 * 8  # bytes of one input
    assert peak < 48 * of_head, f"{peak / of_head:.0f} arrays of one head"
