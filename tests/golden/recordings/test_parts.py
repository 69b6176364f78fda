"""Small parts of recordings: packed deviations, roundings of casts, rows, arrays without an axis."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from trueband.golden.recordings.rows import parse_rows, selected_rows
from trueband.golden.recordings.sigmas import STEPS, packed, unpacked
from trueband.golden.store import open_store, read_golden, write_golden
from trueband.properties.bounds.precision import DTYPES, Precision, roundoff
from trueband.properties.bounds.variance import known, linear_moments


def test_packed_deviations_are_never_below_and_little_above() -> None:
    random = np.random.default_rng(1)
    sigma = 2.0 ** random.uniform(-1000, 100, 5000)
    sigma = np.concatenate([sigma, 2.0 ** (np.arange(-800, 800) / STEPS), [0.0]])
    found = unpacked(packed(sigma))
    assert (found >= sigma).all()
    assert (found <= sigma * 2.0 ** (2 / STEPS)).all()
    assert found[-1] == 0
    rounded_down = unpacked(np.floor(STEPS * np.log2(sigma[:-1])).astype(np.int16))  # the wrong one
    assert (rounded_down < sigma[:-1]).any()


def test_a_cast_rounds_where_the_dtype_does_not_hold_every_value() -> None:
    unit = {dtype: Precision.of(dtype).output or Precision.of(dtype).accumulator for dtype in DTYPES}
    exact = {(dtype, dtype) for dtype in DTYPES} | {("float64", dtype) for dtype in DTYPES}
    exact |= {("float32", "bfloat16"), ("float32", "float16")}
    for dtype in DTYPES:
        for stored in DTYPES:
            assert (roundoff(dtype, stored) == 0) == ((dtype, stored) in exact), (dtype, stored)
            assert Precision.of(dtype).holding(stored).weights == roundoff(dtype, stored) <= unit[dtype]


def test_rounded_weights_widen_the_variance_by_what_they_are_off() -> None:
    """Of a bfloat16 model: 2000 draws of weights that are rounded, everything else exact."""
    random = np.random.default_rng(2)
    x, bias = random.standard_normal((1, 1, 64)), np.zeros(2000)
    weight = random.standard_normal((2000, 64))
    spacing = 2.0 ** (np.frexp(weight)[1] - 8)
    error = x @ (np.rint(weight / spacing) * spacing - weight).T
    exact = Precision.of("bfloat16")
    added = [linear_moments(known(x), weight, bias, each).variance for each in (exact.holding("float32"), exact)]
    ratio = (error**2).mean() / (added[0] - added[1]).mean()
    assert 0.25 < ratio < 1  # of a bound that takes every rounding at the largest its exponent allows


def test_rows_are_in_order_once_and_in_the_text() -> None:
    real, flagged = np.ones((2, 40), dtype=bool), np.zeros((2, 40), dtype=bool)
    real[1, 31:], flagged[0, 17] = False, True
    rows = selected_rows(40, (4, 3), real, flagged)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert {0, 39, 30, 31, 17, 4, 5, 3} <= set(rows.tolist())
    assert selected_rows(1).tolist() == [0]
    assert parse_rows("all", 3).tolist() == [0, 1, 2]
    assert parse_rows("-1,0,2", 3).tolist() == [0, 2]


@pytest.mark.parametrize("value", [np.array(1.5), np.zeros((0, 3)), np.arange(6.0).reshape(2, 3).T])
def test_arrays_of_any_layout_are_kept(value: np.ndarray, tmp_path: Path) -> None:
    golden = open_store().golden("sapiens_accuracy")
    write_golden(tmp_path / "a.safetensors", dataclasses.replace(golden, arrays={"expected": value}))
    found = read_golden(tmp_path / "a.safetensors").expected
    assert found.shape == value.shape
    assert np.array_equal(found, value)
