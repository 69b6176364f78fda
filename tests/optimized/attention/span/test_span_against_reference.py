"""Output, lse and gradients against the float64 reference, element by element within the computed bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import band_attention
from trueband.optimized.attention.chunked import plan as chunked_plan
from trueband.optimized.attention.chunked.span import tiles
from trueband.properties.bounds import (
    DTYPES,
    Bound,
    Precision,
    attention_bound,
    attention_gradient_bounds,
    lse_bound,
    score_option_gradient_bounds,
)
from trueband.properties.bounds.head_mask_gradient import head_mask_gradient_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention as reference
from trueband.reference import band_attention_vjp as reference_vjp

SEEDS = range(60)
GLOBALS = ("query_global", "key_global", "value_global")


def compare(case: Any, attend: Callable[..., Any] = band_attention) -> None:
    """Judge all results of a case."""
    output, lse, grads = case.run(attend)
    assert output.dtype == getattr(torch, case.dtype)
    assert lse.dtype == (torch.float64 if case.dtype == "float64" else torch.float32)
    arguments, precision = case.checked(), Precision.of(case.dtype)
    expected = reference(*case.positional, **case.keywords, return_lse=True)
    found = {"output": output, "lse": lse, **grads}
    right = {"output": expected.output, "lse": expected.lse}
    bounds: dict[str, Bound] = {
        "output": attention_bound(arguments, precision),
        "lse": lse_bound(arguments, precision),
    }
    query, key, value = case.positional
    gradients = reference_vjp(query, key, value, case.grad_output, grad_lse=case.grad_lse, **case.keywords)
    right |= {name: getattr(gradients, name) for name in grads}
    separate = tuple(name in case.inputs for name in GLOBALS)
    bounds |= attention_gradient_bounds(arguments, case.grad_output, precision, separate, case.grad_lse)  # type: ignore[arg-type]
    bounds |= score_option_gradient_bounds(arguments, case.grad_output, precision, case.grad_lse)
    if "head_mask" in grads:
        bounds["head_mask"] = head_mask_gradient_bound(arguments, case.grad_output, precision)
    assert found.keys() == bounds.keys()
    for name, bound in bounds.items():
        verdict = judge(found[name].double().numpy(), right[name], bound, name)
        assert verdict.passed, str(verdict)


@pytest.mark.evidence
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_output_lse_and_gradients(draw_span: Callable[[int, str], Any], seed: int, dtype: str) -> None:
    compare(draw_span(seed, dtype))


@pytest.mark.parametrize("seed", SEEDS)
def test_many_small_tiles(draw_span: Callable[[int, str], Any], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through tiles so small that every case has several."""
    monkeypatch.setattr(tiles, "LEAST", 16)
    monkeypatch.setattr(chunked_plan, "SCORES", 16)
    compare(draw_span(seed, "float32"))


def test_the_cases_have_every_argument(draw_span: Callable[[int, str], Any]) -> None:
    cases = [draw_span(seed, "float32") for seed in SEEDS]
    given = [{**case.inputs, **case.options} for case in cases]
    for name in (*GLOBALS, "attention_mask", "segments", "sinks", "slopes", "softcap", "head_mask"):
        assert sum(name in each for each in given) >= 5, name
    assert sum(isinstance(each.get("offset"), np.ndarray) for each in given) >= 10
    assert sum(bool(np.isneginf(case.run(band_attention)[1].numpy()).any()) for case in cases) >= 10
