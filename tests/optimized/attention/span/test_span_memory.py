"""Memory grows linearly, and a step of a decoder looks at its window alone. Counted, not timed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.optimized import band_attention
from trueband.optimized.attention.chunked.span.backward import span_backward
from trueband.optimized.attention.chunked.span.forward import span_forward

HEADS, KEY_HEADS, HEAD_DIM = 2, 1, 4


class Meter(TorchDispatchMode):
    """Records the elements of the largest storage that an operation returns, and those of all results that are new."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, Tensor)}
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.largest = max(self.largest, storage.nbytes() // tensor.element_size())
                self.all += 0 if storage.data_ptr() in given else tensor.numel()
        return result


def arguments(tokens: int, kind: str) -> tuple[Any, ...]:
    query, key = torch.randn(1, HEADS, tokens, HEAD_DIM), torch.randn(1, KEY_HEADS, tokens, HEAD_DIM)
    real = torch.ones(1, tokens, dtype=torch.bool)
    real[:, 5] = False
    is_global, segments, per_head = None, None, torch.randn(HEADS)
    if kind == "globals":
        is_global = torch.zeros_like(real)
        is_global[:, ::7] = True  # as many as the sequence is long, in proportion
    if kind == "segments":
        segments = torch.arange(tokens)[None] // 100
    options = None if kind == "globals" else per_head
    limits = (3, 1) if kind == "window" else (None, None)
    own = (None, None, None, per_head, options, options, real, is_global, segments, None, None)
    return (query, key, key, *own, *limits, [1] * HEADS, False, 0.5, 2.0, 0, 0.0)


@pytest.mark.evidence
@pytest.mark.parametrize("kind", ["window", "no limit", "segments", "globals"])
def test_no_quadratic_tensor(kind: str) -> None:
    largest = []
    for tokens in (1536, 3072):
        given = arguments(tokens, kind)
        with Meter() as seen:
            output, lse = span_forward(*given)
            span_backward(output, lse, output, lse, *given)
        assert seen.largest < tokens**2 // 2
        largest.append(seen.largest)
    assert largest[1] <= 2 * largest[0]


def step(tokens: int, dtype: torch.dtype, padding: bool) -> tuple[Tensor, int]:
    """The output of the last of so many tokens with a window of 100, and the elements that all operations return.

    NaN stands wherever the window does not reach.
    """
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(2, HEADS, 1, HEAD_DIM, generator=generator).to(dtype)
    near = torch.randn(2, KEY_HEADS, 101, HEAD_DIM, generator=generator).to(dtype)
    cache = torch.full((2, KEY_HEADS, tokens, HEAD_DIM), float("nan"), dtype=dtype)
    cache[:, :, -101:] = near
    mask = torch.ones(2, tokens, dtype=torch.bool) if padding else None
    with Meter() as seen:
        output = band_attention(query, cache, cache, window=(100, 0), offset=tokens - 1, attention_mask=mask)
    return output, seen.all


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_step_of_a_decoder_costs_as_its_window(dtype: torch.dtype, padding: bool) -> None:
    short, cost = step(128, dtype, padding)
    long, cost_of_long = step(32768, dtype, padding)
    assert torch.isfinite(short).all()
    assert torch.equal(short, long)
    assert cost_of_long == cost


def test_the_meter_sees_what_a_copy_costs() -> None:
    x = torch.randn(300, 4)
    with Meter() as seen:
        x[:100].clone()
        x @ x.T
    assert (seen.largest, seen.all) == (300**2, 300**2 + 400)
