"""Inputs of a shape, and passes over a function of them. b batch, h heads, n tokens, d head dim, D = h * d."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trueband.bench.shape import Shape


def settings(shape: Shape) -> dict[str, Any]:
    """`dtype` and `device` for torch's factories."""
    return {"dtype": getattr(torch, shape.dtype), "device": shape.device}


def normal(shape: Shape, *sizes: int, seed: int = 0) -> Tensor:
    """Numbers to compute with, the same for every contender."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(*sizes, generator=generator).to(**settings(shape))
    return made.requires_grad_(shape.backward)


def projections(shape: Shape) -> list[Tensor]:
    """Query, key and value, each (b, h, n, d)."""
    return [normal(shape, shape.batch, shape.heads, shape.tokens, shape.head_dim, seed=seed) for seed in range(3)]


def hidden_states(shape: Shape) -> Tensor:
    """(b, n, D)."""
    return normal(shape, shape.batch, shape.tokens, shape.width)


def attention_mask(shape: Shape) -> Tensor | None:
    """(b, n) bool, True for real tokens, padded on the right; None where there is no padding."""
    if not shape.padding:
        return None
    lengths = torch.tensor(shape.lengths())
    return (torch.arange(shape.tokens) < lengths[:, None]).to(shape.device)


def first_is_global(shape: Shape) -> Tensor:
    """(b, n) bool."""
    mask = torch.zeros(shape.batch, shape.tokens, dtype=torch.bool, device=shape.device)
    mask[:, 0] = True
    return mask


def passes(compute: Callable[[], Any], inputs: Sequence[Tensor], backward: bool) -> Callable[[], None]:
    """Runs the forward pass, or the forward and the backward pass to the inputs."""

    def forward() -> None:
        with torch.inference_mode():
            compute()

    def forward_and_backward() -> None:
        output = compute()
        outputs = [output] if isinstance(output, Tensor) else output
        torch.autograd.grad(outputs, inputs, [torch.ones_like(tensor) for tensor in outputs], allow_unused=True)

    return forward_and_backward if backward and inputs else forward
