"""Who sees whom: tables drawn by hand, and every example of this folder against the contract's sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueband.reference.arguments import check_arguments
from trueband.reference.attention import global_rows, local_rows
from trueband.reference.masks import band, visible_to_global_rows, visible_to_local_rows


def drawn(*rows: str) -> np.ndarray:
    return np.array([[letter == "x" for letter in row] for row in rows])


def test_bands_as_drawn() -> None:
    assert np.array_equal(
        band(5, window=1, dilation=1, causal=False), drawn("xx...", "xxx..", ".xxx.", "..xxx", "...xx")
    )
    assert np.array_equal(
        band(5, window=1, dilation=2, causal=False), drawn("x.x..", ".x.x.", "x.x.x", ".x.x.", "..x.x")
    )
    assert np.array_equal(
        band(5, window=2, dilation=1, causal=True), drawn("x....", "xx...", "xxx..", ".xxx.", "..xxx")
    )


def test_rows_as_drawn() -> None:
    """Tokens: local, global, local, padding, local."""
    real, is_global = drawn("xxx.x"), drawn(".x...")
    local = visible_to_local_rows(real, is_global, window=1, dilations=(1,), causal=False)
    assert np.array_equal(local[0, 0], drawn("xx...", ".....", ".xx..", ".....", ".x..x"))
    assert np.array_equal(
        visible_to_global_rows(real, is_global, heads=2)[0, 1], drawn(".....", "xxx.x", ".....", ".....", ".....")
    )


@given(n=st.integers(1, 12), window=st.integers(0, 14), dilation=st.integers(1, 5), causal=st.booleans())
def test_band_is_the_list_of_its_offsets(n: int, window: int, dilation: int, causal: bool) -> None:
    """The other way round: from each row, step by the dilation, at most `window` steps to each side."""
    expected = np.zeros((n, n), dtype=bool)
    for i in range(n):
        for step in range(-window, 1 if causal else window + 1):
            if 0 <= i + step * dilation < n:
                expected[i, i + step * dilation] = True
    assert np.array_equal(band(n, window, dilation, causal), expected)


@pytest.fixture
def table(contract_keys: Callable[[Any, int, int, int], list[int]]) -> Callable[[Any], np.ndarray]:
    """(b, h, n, n) table of an example by the contract's sentences."""

    def of(example: Any) -> np.ndarray:
        rows = example.inputs["query"].shape[:3]
        seen = np.zeros((*rows, example.inputs["key"].shape[2]), dtype=bool)
        for b, h, i in np.ndindex(*rows):
            seen[b, h, i, contract_keys(example, b, h, i)] = True
        return seen

    return of


def test_visible_keys_are_the_contracts(example: Any, table: Callable[[Any], np.ndarray]) -> None:
    arguments = check_arguments(*example.positional, **example.keywords)
    local, global_ = local_rows(arguments).visible, global_rows(arguments).visible
    assert not (local & global_).any()
    assert np.array_equal(local | global_, table(example))


def strict_window(n: int, window: int, dilation: int) -> np.ndarray:
    offset = np.arange(n)[:, None] - np.arange(n)
    return (np.abs(offset) < window * dilation) & (offset % dilation == 0)


def undilated_reach(n: int, window: int, dilation: int) -> np.ndarray:
    """The window is taken in tokens instead of steps."""
    offset = np.arange(n)[:, None] - np.arange(n)
    return (np.abs(offset) <= window) & (offset % dilation == 0)


@pytest.mark.parametrize("wrong", [strict_window, undilated_reach])
def test_a_wrong_band_is_rejected(
    wrong: Callable[[int, int, int], np.ndarray], examples: dict[str, Any], table: Callable[[Any], np.ndarray]
) -> None:
    example = examples["dilation"]
    window, dilation = example.options["window"], example.options["dilation"]
    n = example.inputs["query"].shape[2]
    assert np.array_equal(band(n, window, dilation, causal=False), table(example)[0, 0])
    assert not np.array_equal(wrong(n, window, dilation), table(example)[0, 0])
