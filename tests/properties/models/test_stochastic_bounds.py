"""Arrays that carry their rounding errors compute what NumPy does, and their bounds hold and are not wide."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.stochastic import AUTOCAST, MISSED, SCALED, Arithmetic, stochastic
from trueband.properties.results.verdict import judge
from trueband.reference.layers_vjp import gelu, layer_norm, rows

Function = Callable[[Any, Any], Any]
SINGLE = Precision.of("float32")
LINES: dict[str, Function] = {
    "sum": lambda x, w: x.sum(axis=-1, keepdims=True),
    "sum over two": lambda x, w: x.sum(axis=(0, 1)),
    "total": lambda x, w: x.sum(),
    "mean": lambda x, w: x.mean(axis=0),
    "product": lambda x, w: x @ w.T,
    "product of a plain array": lambda x, w: np.ones((5, 4)) @ x,
    "weights of fewer axes": lambda x, w: w[0] * x + w[1],
    "rows": lambda x, w: rows(x).T @ rows(x),
    "softmax": lambda x, w: np.exp(x - x.max(axis=-1, keepdims=True)) / np.exp(x).sum(axis=-1, keepdims=True),
    "masked": lambda x, w: np.exp(np.where(x > 0, x, -np.inf)),
    "norm": lambda x, w: layer_norm({"n.weight": w[0], "n.bias": w[1]}, "n", x, 1e-5)[0],
    "gelu": lambda x, w: gelu(x)[0],
    "losses": lambda x, w: np.log1p(np.exp(-np.abs(x))) + np.log(np.maximum(x, 0.5)),
    "places": lambda x, w: np.stack([x[..., 0], x[:, :, 1]], axis=-1).swapaxes(0, 1),
    "table": lambda x, w: w[np.array([[0, 2], [1, 1]])],
}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in (("x", (2, 4, 6)), ("w", (3, 6)))}


def both(function: Function, arrays: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """A result that carries its errors, and that of NumPy in float64."""
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    return function(*stochastic(exact, 0).values()), function(*exact.values())


@pytest.mark.parametrize("line", LINES)
def test_the_first_run_is_what_numpy_computes(line: str, arrays: dict[str, np.ndarray]) -> None:
    found, right = both(LINES[line], arrays)
    assert found.shape == np.shape(right)
    assert judge(right, found.value, found.bound(Precision.of("float64"))).passed


@pytest.mark.parametrize("line", ["sum", "mean", "product", "softmax", "rows", "losses", "weights of fewer axes"])
def test_float32_is_within_the_bound_and_what_is_wrong_in_its_fourth_digit_is_not(
    line: str, arrays: dict[str, np.ndarray]
) -> None:
    found, right = both(LINES[line], arrays)
    single = LINES[line](*arrays.values()).astype(np.float64)
    assert judge(single, found.value, found.bound(SINGLE)).passed
    assert not judge(right * 1.001, found.value, found.bound(SINGLE)).passed


def test_what_is_zero_in_every_run_has_no_bound_and_what_two_share_cancels(arrays: dict[str, np.ndarray]) -> None:
    carried: dict[str, Any] = stochastic({name: array.astype(np.float64) for name, array in arrays.items()}, 0)
    product: Any = carried["x"] @ carried["w"].T
    zeros: list[Any] = [
        product - product,
        product * 0.0,
        np.exp(np.where(np.zeros((2, 4, 3), dtype=bool), product, -np.inf)),
    ]
    for zero in zeros:
        assert not zero.bound(SINGLE).total.any()


def test_the_same_seed_gives_the_same_bound(arrays: dict[str, np.ndarray]) -> None:
    first, again = (both(LINES["norm"], arrays)[0].bound(SINGLE).total for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("how", [SCALED, AUTOCAST])
def test_a_spread_is_widened_by_the_tail_of_chi_squared(how: Arithmetic) -> None:
    half = how.samples // 2
    terms = [half * math.log(half / how.wider**2), -math.lgamma(half + 1), -math.log(MISSED)]
    roundings = 8 * sys.float_info.epsilon * sum(map(abs, terms))  # a few of each term
    assert abs(math.fsum(terms)) <= roundings


def test_what_has_no_rule_is_refused() -> None:
    one: Any = stochastic({"x": np.ones(3)}, 0)["x"]
    with pytest.raises(TypeError):
        np.sin(one)
    with pytest.raises(TypeError):
        np.cumsum(one)
