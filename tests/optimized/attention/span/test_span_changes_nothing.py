"""What must not change a result, bit for bit: padding, other rows of the batch, keys that a row does not attend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trueband.optimized import band_attention
from trueband.optimized.attention.chunked import plan as chunked_plan
from trueband.optimized.attention.chunked.span import tiles
from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention as reference
from trueband.reference.arguments import check_arguments

SEEDS = range(60)
OF_QUERIES, OF_KEYS = ("query", "query_global"), ("key", "value", "key_global", "value_global")


def results(case: Any) -> dict[str, Tensor]:
    output, lse, grads = case.run(band_attention)
    return {"output": output, "lse": lse, **grads}


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_masked_tokens_hold(draw_span: Callable[[int, str], Any], dtype: str, poison: float) -> None:
    """Keys, queries at masked tokens, and the gradients of their results."""
    checked = 0
    for seed in SEEDS:
        case = draw_span(seed, dtype)
        if "attention_mask" not in case.options:
            continue
        clean, arguments = results(case), case.checked()
        keys, queries = ~arguments.real, ~arguments.real_queries
        for name in case.inputs:
            if name in OF_QUERIES + OF_KEYS:
                masked = queries if name in OF_QUERIES else keys
                case.inputs[name] = np.where(masked[:, None, :, None], poison, case.inputs[name])
        case.grad_output = np.where(queries[:, None, :, None], poison, case.grad_output)
        if case.grad_lse is not None:
            case.grad_lse = np.where(queries[:, None], poison, case.grad_lse)
        for name, tensor in results(case).items():
            assert torch.equal(tensor, clean[name]), f"seed {seed}, {name}"
            masked = keys if name in OF_KEYS else queries
            if name in ("output", *OF_QUERIES, *OF_KEYS):
                assert not tensor.transpose(1, 2)[torch.tensor(masked)].any()
        assert torch.isneginf(clean["lse"].transpose(1, 2)[torch.tensor(queries)]).all()
        checked += int(queries.sum())
    assert checked > 100


@pytest.mark.parametrize("small", [False, True], ids=["tiles", "small tiles"])
def test_a_row_of_the_batch_does_not_depend_on_the_others(
    draw_span: Callable[[int, str], Any], small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        monkeypatch.setattr(tiles, "LEAST", 16)
        monkeypatch.setattr(chunked_plan, "SCORES", 16)
    checked = 0
    for seed in SEEDS:
        case = draw_span(seed, "float32")
        batch = results(case)
        for b in range(len(case.grad_output)):
            alone = results(case.part(b))
            for name in ("output", "lse", *(set(case.inputs) & set(OF_QUERIES + OF_KEYS))):
                assert torch.equal(alone[name], batch[name][b : b + 1]), f"seed {seed}, {name}"
            checked += b
    assert checked > 10


@pytest.mark.parametrize("huge", [1.0, 3e38])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [(0, 0), (3, None), (None, 2), (40, 1), (130, 70)], ids=str)
def test_a_key_that_a_row_does_not_attend(window: Any, softcap: float | None, huge: float) -> None:
    """Not even when its score, or what the backward pass makes of its value, overflows."""
    tokens, offset = 300, 5
    query, grad_output = torch.randn(2, 1, 4, tokens, 4)
    key, value = torch.randn(2, 1, 2, tokens, 4)
    options: dict[str, Any] = {"window": window, "softcap": softcap, "offset": offset, "sinks": torch.randn(4)}

    def call(k: Tensor, v: Tensor) -> list[Tensor]:
        leaf = query.clone().requires_grad_()
        output, lse = band_attention(leaf, k, v, **options, return_lse=True)
        grad = torch.autograd.grad((output, lse), leaf, (grad_output, lse.detach()))[0]
        return [output.detach(), lse.detach()[..., None], grad]

    before = call(key, value)
    at = torch.arange(tokens) + offset
    left, right = (10**6 if limit is None else limit for limit in window)
    for changed in (0, 64, 127, 128, 200, 299):
        k, v = key.clone(), value.clone()
        k[:, :, changed], v[:, :, changed] = huge, -huge
        attends = (changed >= at - left) & (changed <= at + right)
        after = call(k, v)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, :, ~attends], new[:, :, ~attends])


def test_inputs_are_never_modified(draw_span: Callable[[int, str], Any]) -> None:
    for seed in SEEDS:
        case = draw_span(seed, "float32")
        given: list[Tensor] = []

        def call(*positional: Tensor, given: list[Tensor] = given, **options: Any) -> Any:
            given += [t for t in (*positional, *options.values()) if isinstance(t, Tensor)]
            given += [t.detach().clone() for t in given]
            return band_attention(*positional, **options)

        case.run(call)
        count = len(given) // 2
        assert all(torch.equal(a, b) for a, b in zip(given[:count], given[count:], strict=True))


def judged(found: Tensor, inputs: Sequence[Tensor], **options: Any) -> None:
    """The output of a call is that of the reference for these options."""
    arrays = [tensor.numpy() for tensor in inputs]
    bound = attention_bound(check_arguments(*arrays, **options), Precision.of("float64"))
    verdict = judge(found.numpy(), reference(*arrays, **options).output, bound)
    assert verdict.passed, str(verdict)


def test_what_is_new_and_says_nothing_new() -> None:
    """New arguments that change nothing give what the call without them gives."""
    inputs = torch.randn(3, 2, 4, 150, 8, dtype=torch.float64).unbind()
    same: list[dict[str, Any]] = [
        {"window": (20, 20)},
        {"window": 20, "offset": torch.zeros(2, dtype=torch.int64)},
        {"window": 20, "segments": torch.full((2, 150), 3)},
        {"window": 20, "slopes": torch.zeros(4)},
        {"window": 20, "sinks": torch.full((4,), -1e4)},
    ]
    for options in same:
        judged(band_attention(*inputs, **options), inputs, window=20)
    for limits in ((20, 0), (20, None), (20, 7)):
        judged(band_attention(*inputs, window=limits, causal=True), inputs, window=20, causal=True)


def test_offsets_at_the_ends_of_the_axis() -> None:
    """Positions near 2^62 do not wrap."""
    x, sinks = torch.randn(1, 2, 3, 4, dtype=torch.float64), torch.randn(2)
    for offset in (2**62, -(2**62)):
        output, lse = band_attention(x, x, x, window=(9, 2**62 - 4), offset=offset, sinks=sinks, return_lse=True)
        assert not output.any()
        assert torch.equal(lse, sinks.double()[None, :, None].expand(1, 2, 3))
        output = band_attention(x, x, x, window=(None, None), offset=offset, slopes=sinks * 0)
        judged(output, (x, x, x), window=(None, None))
    judged(band_attention(x, x, x, window=(0, 2**62 + 2), offset=-(2**62)), (x, x, x), window=(None, None))
