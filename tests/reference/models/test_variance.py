"""8 sigma at a layer's output: correct layers stay well below, faults do not (docs/verification.md, section 2.5)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional

from trueband.properties.bounds import Precision, round_to
from trueband.properties.bounds.encoder_variance import longformer_layer_moments, roberta_layer_moments
from trueband.properties.bounds.variance import SIGMAS, Moments, sigma_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.longformer import longformer_layer
from trueband.reference.masks import visible_to_global_rows, visible_to_local_rows
from trueband.reference.roberta import roberta_layer

HEADS, HIDDEN, TOKENS, WINDOW, PADS, EPS, LAYERS = 4, 128, 96, 8, 5, 1e-5, 4
CONFIG = LongformerConfig(
    hidden_size=HIDDEN,
    num_attention_heads=HEADS,
    num_hidden_layers=LAYERS,
    layer_norm_eps=EPS,
    attention_window=2 * WINDOW,
)

DTYPES = ("float32", "bfloat16", "float16")


class Case(NamedTuple):
    """A layer, its input on the grid of the dtype, the keys of local and global rows, and what is expected."""

    state: dict[str, np.ndarray]
    x: np.ndarray
    local: np.ndarray
    global_rows: np.ndarray
    expected: np.ndarray
    moments: Moments


def run(encoder: SimpleNamespace, case: Case, dtype: str, **changes: Any) -> np.ndarray:
    options: dict[str, Any] = {"eps": EPS, "local": case.local, "global_rows": case.global_rows} | changes
    result: np.ndarray = encoder.torch_layer(case.state, "layer", case.x, HEADS, dtype=dtype, **options)
    return result


def verdict(actual: np.ndarray, case: Case) -> Verdict:
    return judge(actual, case.expected, sigma_bound(case.moments))


Stack = Callable[[str, int], list[Case]]


@pytest.fixture(scope="module")
def stack(encoder: SimpleNamespace) -> Stack:
    """Layers of a dtype and a seed, one behind the other, each fed what the tested layer before it returned."""
    return cache(lambda dtype, seed: build_stack(encoder, dtype, seed))


def build_stack(encoder: SimpleNamespace, dtype: str, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    real, is_global = np.ones((1, TOKENS), dtype=bool), np.zeros((1, TOKENS), dtype=bool)
    real[0, -PADS:], is_global[0, [0, 40]] = False, True
    local = visible_to_local_rows(real, is_global, WINDOW, (1,), causal=False)[:, 0]
    global_rows = visible_to_global_rows(real, is_global, heads=1)[:, 0]
    x, cases = round_to(rng.standard_normal((1, TOKENS, HIDDEN)), dtype), []
    for _ in range(LAYERS):
        state = encoder.random_layer(rng, HIDDEN, dtype)
        masks = {"attention_mask": real, "global_attention_mask": is_global}
        expected = longformer_layer(state, "layer", CONFIG, x, window=WINDOW, **masks)
        moments = longformer_layer_moments(state, "layer", CONFIG, x, WINDOW, real, is_global, Precision.of(dtype))
        cases.append(Case(state, x, local, global_rows, expected, moments))
        x = run(encoder, cases[-1], dtype)
    return cases


def one_after_another(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(..., m, k) @ (..., k, n), the products added from the first to the last: the same bits on every machine."""
    total = a[..., :, :1] * b[..., :1, :]
    for t in range(1, a.shape[-1]):
        total = total + a[..., :, t : t + 1] * b[..., t : t + 1, :]
    return total


def mean_sigma(actual: np.ndarray, case: Case) -> float:
    """Root mean square of error / sigma."""
    return float(np.sqrt(((actual - case.expected) ** 2 / case.moments.variance).mean()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_correct_layers_pass(encoder: SimpleNamespace, stack: Stack, dtype: str, seed: int) -> None:
    """In the order of sums of this machine, whichever it is: below 8 sigma everywhere, and below one on the average."""
    for case in stack(dtype, seed):
        actual = run(encoder, case, dtype)
        assert verdict(actual, case).passed
        assert mean_sigma(actual, case) < 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigma_is_no_wider_than_it_must_be(encoder: SimpleNamespace, stack: Stack, dtype: str) -> None:
    """It allows for sums of one term after another, so it is held against those, whose rounding no machine changes.

    In the sum of k such terms of one size the partial sums have i / k of the variance of the whole; a rounding has
    u^2 / 3 of a number's square at most, and 0.54 of that on the average over its binade. That is 0.09 k u^2 of the
    square of the whole, where sigma has k u^2 for it and again as much for the terms: sigma is 4.7 times the error of
    such a sum. A layer has other roundings besides: a sigma of SIGMAS times its error would be too wide.
    """
    case = stack(dtype, 0)[0]
    actual = run(encoder, case, dtype, product=one_after_another)
    assert verdict(actual, case).passed
    assert 1 / SIGMAS < mean_sigma(actual, case) < 1


def test_float64_layers_pass(encoder: SimpleNamespace, stack: Stack) -> None:
    for case in stack("float64", 0):
        assert verdict(run(encoder, case, "float64"), case).passed


def test_the_carried_value_is_the_reference_itself(stack: Stack) -> None:
    for case in stack("float64", 2):
        assert judge(case.moments.value, case.expected, sigma_bound(case.moments)).passed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("row", "key", "seen"), [(20, 25, False), (20, 29, True), (60, 40, False), (90, 91, True)])
def test_one_wrong_mask_entry_is_caught(
    encoder: SimpleNamespace, stack: Stack, dtype: str, row: int, key: int, seen: bool
) -> None:
    """A key lost in the window, one too many behind its edge, a global key lost, a pad that leaks."""
    case = stack(dtype, 0)[-1]
    wrong = case.local.copy()
    assert wrong[0, row, key] != seen
    wrong[0, row, key] = seen
    result = verdict(run(encoder, case, dtype, local=wrong), case)
    assert not result.passed
    assert result.index[1] == row


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_window_one_too_small_is_caught(encoder: SimpleNamespace, stack: Stack, dtype: str) -> None:
    case = stack(dtype, 0)[0]
    narrow = case.local.copy()
    rows = np.arange(TOKENS - WINDOW)
    narrow[0, rows, rows + WINDOW] = False
    narrow[0, :, 40] = case.local[0, :, 40]
    assert not verdict(run(encoder, case, dtype, local=narrow), case).passed


@pytest.mark.parametrize("dtype", DTYPES)
def test_swapped_global_projections_are_caught(encoder: SimpleNamespace, stack: Stack, dtype: str) -> None:
    case = stack(dtype, 0)[0]
    swapped = dict(case.state)
    for kind in ("weight", "bias"):
        names = [f"layer.attention.self.{part}_global.{kind}" for part in ("query", "value")]
        swapped[names[0]], swapped[names[1]] = case.state[names[1]], case.state[names[0]]
    assert not verdict(run(encoder, case._replace(state=swapped), dtype), case).passed


def test_tanh_gelu_is_caught_in_float32(encoder: SimpleNamespace, stack: Stack) -> None:
    case = stack("float32", 0)[-1]
    actual = run(encoder, case, "float32", activation=lambda t: functional.gelu(t, approximate="tanh"))
    assert not verdict(actual, case).passed


def test_full_attention_with_padding(encoder: SimpleNamespace) -> None:
    config = XLMRobertaConfig(hidden_size=64, num_attention_heads=4, num_hidden_layers=1, layer_norm_eps=EPS)
    rng = np.random.default_rng(7)
    state, x = encoder.random_layer(rng, 64, "float32"), round_to(rng.standard_normal((2, 20, 64)), "float32")
    mask = np.ones((2, 20), dtype=np.int64)
    mask[0, -6:] = 0
    visible = np.broadcast_to(mask[:, None, :].astype(bool), (2, 20, 20)).copy()
    actual = encoder.torch_layer(state, "layer", x, 4, eps=EPS, dtype="float32", local=visible)
    expected = roberta_layer(state, "layer", config, x, mask)
    bound = sigma_bound(roberta_layer_moments(state, "layer", config, x, mask, Precision.of("float32")))
    assert judge(actual, expected, bound).passed
    visible[0, 3, 19] = True  # one pad leaks into one row
    leaking = encoder.torch_layer(state, "layer", x, 4, eps=EPS, dtype="float32", local=visible)
    assert not judge(leaking, expected, bound).passed
