"""Memory grows linearly with the number of tokens: no step makes a tensor of n * n elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.optimized.attention.chunked import band as chunked_band
from trueband.optimized.attention.operators import band_op, full_op, projected_op, relative_op

HEADS, HEAD_DIM, WINDOW = 2, 4, 3


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest storage that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


def masks(tokens: int) -> tuple[Tensor, Tensor]:
    real = torch.ones(1, tokens, dtype=torch.bool)
    real[:, 5] = False
    is_global = torch.zeros_like(real)
    is_global[:, [0, tokens // 2]] = True
    return real, is_global


def band(tokens: int, backward: bool, composite: bool) -> None:
    x = torch.randn(1, HEADS, tokens, HEAD_DIM, requires_grad=composite)
    arguments = (x, x, x, x, x, x, torch.ones(HEADS), *masks(tokens), None, WINDOW, [1, 2], False, 0.5, 0.0, True)
    if composite:
        output = band_op.composite(*arguments)
        if backward:
            torch.autograd.grad(output.sum(), x)
    elif backward:
        chunked_band.band_backward(x, *arguments)
    else:
        chunked_band.band_forward(*arguments)


def full(tokens: int, backward: bool, composite: bool) -> None:
    x = torch.randn(1, HEADS, tokens, HEAD_DIM)
    arguments = (x, x, x, None, masks(tokens)[0], None, 0.5, 0.0)
    if composite:
        for _ in full_op.weights(*arguments):
            pass
    elif backward:
        full_op.backward(x, *arguments)
    else:
        full_op.forward(*arguments)


def projected(tokens: int, backward: bool, composite: bool) -> None:
    size = HEADS * HEAD_DIM
    x, weight, bias = torch.randn(1, tokens, size), torch.randn(size, size), torch.randn(size)
    arguments = (x, *(weight, bias) * 3, None, *masks(tokens), None, HEADS, 0.5, 0.0)
    if composite:
        projected_op.composite(*arguments)
    elif backward:
        projected_op.backward(x, *arguments)
    else:
        projected_op.forward(*arguments)


def causal(tokens: int, backward: bool, composite: bool) -> None:
    x = torch.randn(1, HEADS, tokens, HEAD_DIM)
    arguments = (x, x, x, None, masks(tokens)[0], None, 0.5, 0.0, True)
    if composite:
        for _ in full_op.weights(*arguments):
            pass
    elif backward:
        full_op.backward(x, *arguments)
    else:
        full_op.forward(*arguments)


def relative(tokens: int, backward: bool, composite: bool) -> None:
    x, distances = torch.randn(1, HEADS, tokens, HEAD_DIM), torch.randn(2 * tokens - 1, HEAD_DIM)
    arguments = (x, x, x, distances, None, masks(tokens)[0], None, 0.5, 0.0, True, True)
    if composite:
        for _ in relative_op.weights(*arguments):
            pass
    elif backward:
        relative_op.backward(x, *arguments)
    else:
        relative_op.forward(*arguments)


@pytest.mark.evidence
@pytest.mark.parametrize("composite", [False, True], ids=["operator", "composite"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("kernel", [band, full, causal, relative, projected], ids=lambda kernel: kernel.__name__)
def test_no_quadratic_tensor(kernel: Callable[..., None], backward: bool, composite: bool) -> None:
    largest = []
    for tokens in (3072, 6144):  # whole blocks
        with Largest() as seen:
            kernel(tokens, backward, composite)
        assert seen.elements < tokens**2
        largest.append(seen.elements)
    assert largest[1] <= 2 * largest[0]


def test_the_meter_sees_a_quadratic_tensor() -> None:
    x = torch.randn(300, 4)
    with Largest() as seen:
        (x @ x.T).softmax(-1)
    assert seen.elements == 300**2
