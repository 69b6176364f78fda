"""Slices in Python's notation: what Python itself takes, and nothing that runs."""

from __future__ import annotations

import numpy as np
import pytest

from trueband.golden.checkpoints.slices import parse_slice

ARRAY = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ARRAY),
        ("[:, :3, :3]", ARRAY[:, :3, :3]),
        ("[0, 0, -5:]", ARRAY[0, 0, -5:]),
        ("[:, :, -1]", ARRAY[:, :, -1]),
        ("[1]", ARRAY[1]),
        ("[0, [0, 2, -1], ::2]", ARRAY[0, [0, 2, -1], ::2]),
        (".sum()", ARRAY.sum()),
        ("[1:].mean()", ARRAY[1:].mean()),
    ],
)
def test_what_python_takes(text: str | None, expected: np.ndarray) -> None:
    assert np.array_equal(parse_slice(text).of(ARRAY), expected)


def test_sums_are_taken_in_float64() -> None:
    """The wrong sum, of float32, stops growing at 2 ** 24."""
    ones = np.ones(2**24 + 2, dtype=np.float32)
    assert parse_slice(".sum()").of(ones) == len(ones)
    assert np.add.accumulate(ones)[-1] != len(ones)


@pytest.mark.parametrize(
    "text",
    ["[__import__('os')]", "[0].std()", "[0].sum(0)", "[a]", "[0.5]", "[True]", "; import os", "[0][1]", ".sum", "[:"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^slice: expected a slice such as"):
        parse_slice(text)


def test_a_slice_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"^slice: expected one of an output of shape \(2, 3, 4\)"):
        parse_slice("[5]").of(ARRAY)
