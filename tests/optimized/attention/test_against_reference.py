"""The operator and its gradients against the float64 reference, element by element within the computed bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import band_attention
from trueband.properties.bounds import DTYPES, Bound, Precision, attention_bound, attention_gradient_bounds
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention as reference
from trueband.reference import band_attention_vjp as reference_vjp

SEEDS = range(24)
GLOBALS = ("query_global", "key_global", "value_global")


def run(case: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output, and gradients by the names of the arguments."""
    positional, keywords = case.torch_call()
    output = band_attention(*positional, **keywords)
    grads = torch.autograd.grad(output, list(case.leaves.values()), torch.tensor(case.grad_output).to(output.dtype))
    return output.detach(), dict(zip(case.leaves, grads, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_output_and_gradients(draw_case: Callable[[int, str], Any], seed: int, dtype: str) -> None:
    case = draw_case(seed, dtype)
    output, grads = run(case)
    assert output.dtype == getattr(torch, dtype)
    arguments, precision = case.checked(), Precision.of(dtype)
    expected = reference(*case.positional, **case.keywords).output
    verdict = judge(output.double().numpy(), expected, attention_bound(arguments, precision))
    assert verdict.passed, str(verdict)

    query, key, value = case.positional
    expected_grads = reference_vjp(query, key, value, case.grad_output, **case.keywords)
    separate = tuple(name in case.inputs for name in GLOBALS)
    bounds = attention_gradient_bounds(arguments, case.grad_output, precision, separate)  # type: ignore[arg-type]
    for name, bound in bounds.items():
        verdict = judge(grads[name].double().numpy(), getattr(expected_grads, name), bound, f"gradient of {name}")
        assert verdict.passed, str(verdict)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_of_the_head_mask_is_what_each_head_adds_to_the_sum(
    draw_case: Callable[[int, str], Any], seed: int
) -> None:
    """sum(dO * o) is linear in the head mask: its gradient is that sum for a head mask of one head alone."""
    case = draw_case(seed, "float64")
    heads = case.inputs["query"].shape[1]
    case.options["head_mask"] = np.ones(heads)
    grad = run(case)[1]["head_mask"].numpy()
    arguments = case.checked()
    output = reference(*case.positional, **case.keywords).output
    real = arguments.real[:, None, :, None]
    size = np.abs(np.where(real, case.grad_output, 0))
    expected = (np.where(real, case.grad_output, 0) * output).sum(axis=(0, 2, 3))
    # Each term is off by |dO| times the forward bound; the operator sums p_ij dO.v_j instead of dO.o, with d and n_i
    # more roundings of terms whose sizes add up to |dO| sum_j p_ij |v_j|; then all are summed.
    precision = Precision.of("float64")
    bound = attention_bound(arguments, precision)
    largest = np.abs(np.where(real, case.inputs.get("value_global", case.inputs["value"]), 0)).max()
    count = case.grad_output[:, 0].size + case.grad_output.shape[2] + case.grad_output.shape[3]
    total = Bound(
        {
            "terms": (size * bound.total).sum(axis=(0, 2, 3)),
            "sum": 2 * count * precision.accumulator * largest * size.sum(axis=(0, 2, 3)),
        }
    )
    verdict = judge(grad, expected, total, "gradient of head_mask")
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_rows_and_their_gradients_are_exactly_zero(draw_case: Callable[[int, str], Any], dtype: str) -> None:
    seen = 0
    for seed in SEEDS:
        case = draw_case(seed, dtype)
        if "attention_mask" in case.options:
            masked = torch.tensor(~case.options["attention_mask"])
            output, grads = run(case)
            seen += int(masked.sum())
            for table in [output, *(grad for grad in grads.values() if grad.ndim == 4)]:
                assert not table.transpose(1, 2)[masked].any()
    assert seen > 100
