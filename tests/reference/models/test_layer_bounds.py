"""The hard bounds of single layers: PyTorch's results stay within them, named wrong ones do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from trueband.properties.bounds import Bound, Precision, round_to
from trueband.properties.bounds.layers import gelu_bound, layer_norm_bound, linear_bound, residual_bound
from trueband.properties.results.verdict import judge
from trueband.reference.layers import gelu, layer_norm, linear

DTYPES = ("float64", "float32", "bfloat16", "float16")
CASES = 24


def torch_of(array: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.from_numpy(array).to(getattr(torch, dtype))


def cases(dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """x (8, n), W (m, n), b (m,), LayerNorm's g and b (n,), at sizes from 1/30 to 30 and with means away from 0."""
    rng = np.random.default_rng(5)
    for case in range(CASES):
        n, m = int(rng.choice([16, 64, 256, 768])), int(rng.choice([16, 64, 256]))
        x = rng.standard_normal((8, n)) * 10 ** rng.uniform(-1.5, 1.5) + (rng.uniform(-5, 5) if case % 3 == 0 else 0)
        weight, bias = rng.standard_normal((m, n)) / math.sqrt(n), rng.standard_normal(m)
        gain, shift = 1 + 0.1 * rng.standard_normal(n), 0.1 * rng.standard_normal(n)
        yield tuple(round_to(each, dtype) for each in (x, weight, bias, gain, shift))  # type: ignore[misc]


def ratios(dtype: str, layer: Callable[..., tuple[torch.Tensor, np.ndarray, Bound]]) -> list[float]:
    return [judge(y.double().numpy(), exact, bound).ratio for y, exact, bound in (layer(*c) for c in cases(dtype))]


def linear_case(dtype: str) -> Any:
    def layer(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *_: np.ndarray) -> Any:
        y = functional.linear(*(torch_of(each, dtype) for each in (x, weight, bias)))
        return (
            y,
            linear({"d.weight": weight, "d.bias": bias}, "d", x),
            linear_bound(x, weight, bias, Precision.of(dtype)),
        )

    return layer


def layer_norm_case(dtype: str, eps: float = 1e-5, change: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Any:
    def layer(x: np.ndarray, _w: np.ndarray, _b: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> Any:
        y = functional.layer_norm(
            torch_of(x, dtype), (x.shape[-1],), torch_of(gain, dtype), torch_of(shift, dtype), eps
        )
        exact = layer_norm({"n.weight": gain, "n.bias": shift}, "n", x, 1e-5)
        return y if change is None else change(y), exact, layer_norm_bound(x, gain, shift, 1e-5, Precision.of(dtype))

    return layer


def gelu_case(dtype: str, approximate: str = "none") -> Any:
    def layer(x: np.ndarray, *_: np.ndarray) -> Any:
        return functional.gelu(torch_of(x, dtype), approximate=approximate), gelu(x), gelu_bound(x, Precision.of(dtype))

    return layer


def residual_case(dtype: str) -> Any:
    def layer(x: np.ndarray, *_: np.ndarray) -> Any:
        y = torch_of(x, dtype) + torch_of(x[::-1].copy(), dtype)
        return y, x + x[::-1], residual_bound(x, x[::-1], Precision.of(dtype))

    return layer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [linear_case, layer_norm_case, gelu_case, residual_case])
def test_results_are_within_their_bound(case: Callable[[str], Any], dtype: str) -> None:
    worst = max(ratios(dtype, case(dtype)))
    assert worst <= 1
    if dtype in ("bfloat16", "float16"):  # there the rounding of the output dominates: the bound is nearly reached
        assert worst > 0.5


def test_tanh_gelu_is_rejected() -> None:
    assert max(ratios("float32", gelu_case("float32", "tanh"))) > 1


def test_layer_norm_with_the_unbiased_variance_is_rejected() -> None:
    def unbiased(x: np.ndarray, _w: np.ndarray, _b: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> Any:
        t = torch_of(x, "float32")
        y = (t - t.mean(-1, keepdim=True)) / (t.var(-1, keepdim=True) + 1e-5).sqrt() * torch_of(gain, "float32")
        exact = layer_norm({"n.weight": gain, "n.bias": shift}, "n", x, 1e-5)
        return y + torch_of(shift, "float32"), exact, layer_norm_bound(x, gain, shift, 1e-5, Precision.of("float32"))

    assert min(ratios("float32", unbiased)) > 1


def test_another_eps_is_rejected() -> None:
    assert max(ratios("float32", layer_norm_case("float32", eps=1e-12))) > 1


def test_linear_with_a_half_precision_accumulator_is_rejected() -> None:
    def narrow(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *_: np.ndarray) -> Any:
        total = torch.zeros(x.shape[0], weight.shape[0], dtype=torch.bfloat16)
        for k in range(x.shape[1]):
            total = total + torch_of(x[:, k, None] * weight[None, :, k], "bfloat16")
        exact = linear({"d.weight": weight, "d.bias": bias}, "d", x)
        return total + torch_of(bias, "bfloat16"), exact, linear_bound(x, weight, bias, Precision.of("bfloat16"))

    assert min(ratios("bfloat16", narrow)) > 1


@pytest.mark.parametrize("name", ["linear", "layer_norm", "gelu", "residual"])
def test_the_error_of_the_input_is_carried(name: str) -> None:
    """A moved input moves the result by no more than the bound says, and the bound without it would not do."""
    rng = np.random.default_rng(2)
    precision = Precision.of("float64")
    x, moved_by = rng.standard_normal((4, 32)), 1e-3 * np.abs(rng.standard_normal((4, 32)))
    moved = x + moved_by * rng.choice([-1, 1], size=x.shape)
    weight, bias = rng.standard_normal((8, 32)), rng.standard_normal(8)
    gain, shift = rng.standard_normal(32), rng.standard_normal(32)
    dense, norm = {"d.weight": weight, "d.bias": bias}, {"d.weight": gain, "d.bias": shift}
    function: Callable[[np.ndarray], np.ndarray] = {
        "linear": lambda a: linear(dense, "d", a),
        "layer_norm": lambda a: layer_norm(norm, "d", a, 1e-5),
        "gelu": gelu,
        "residual": lambda a: a + x,
    }[name]
    bound: Callable[[Any], Bound] = {
        "linear": lambda error: linear_bound(x, weight, bias, precision, error),
        "layer_norm": lambda error: layer_norm_bound(x, gain, shift, 1e-5, precision, error),
        "gelu": lambda error: gelu_bound(x, precision, error),
        "residual": lambda error: residual_bound(x, x, precision, error),
    }[name]
    assert judge(function(moved), function(x), bound(moved_by)).passed
    assert not judge(function(moved), function(x), bound(None)).passed


def test_layer_norm_of_a_row_swamped_by_its_error_is_not_known() -> None:
    x = np.ones((1, 4))
    bound = layer_norm_bound(x, np.ones(4), np.zeros(4), 1e-5, Precision.of("float32"), error=np.ones((1, 4)))
    assert np.isinf(bound.total).any()
