"""The operator: attention of given queries, keys and values within a window, no global tokens."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trueband.bench.contenders import Work
from trueband.bench.inputs import attention_mask, projections
from trueband.bench.shape import Shape
from trueband.optimized import band_attention


def ours(shape: Shape) -> Work:
    """Our operator. On a CUDA device this is the fused kernel, where it can serve the call."""
    query, key, value = inputs = projections(shape)
    options: dict[str, Any] = {"window": shape.window, "attention_mask": attention_mask(shape)}
    return Work(lambda: band_attention(query, key, value, **options), inputs)


def dense_mask(shape: Shape) -> Tensor:
    """(b or 1, 1, n, n) bool: what a row sees."""
    band = torch.ones(shape.tokens, shape.tokens, dtype=torch.bool, device=shape.device)
    band = band.tril_(shape.window).triu_(-shape.window)[None, None]
    real = attention_mask(shape)
    return band if real is None else band & real[:, None, None, :]


def sdpa(shape: Shape) -> Work:
    query, key, value = inputs = projections(shape)
    mask = dense_mask(shape)
    attention = torch.nn.functional.scaled_dot_product_attention
    return Work(lambda: attention(query, key, value, attn_mask=mask), inputs, held=mask.nbytes)


def flex(shape: Shape) -> Work:
    from torch.nn.attention.flex_attention import flex_attention

    warnings.simplefilter("ignore")  # that it runs without torch.compile
    return flex_work(shape, flex_attention)


def flex_compiled(shape: Shape) -> Work:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_work(shape, torch.compile(flex_attention, dynamic=False))


def flex_work(shape: Shape, attention: Callable[..., Any]) -> Work:
    from torch.nn.attention.flex_attention import create_block_mask

    query, key, value = inputs = projections(shape)
    real = attention_mask(shape)

    def seen(b: Any, h: Any, i: Any, j: Any) -> Any:
        near = (i - j).abs() <= shape.window
        return near if real is None else near & real[b, j]

    # Compiled, or else the mask of n * n elements is made on the way.
    rows = None if real is None else shape.batch
    mask = create_block_mask(seen, rows, None, shape.tokens, shape.tokens, device=shape.device, _compile=True)
    return Work(lambda: attention(query, key, value, block_mask=mask), inputs)


def local_attention(shape: Shape) -> Work:
    """A mask is given though all tokens are real: without one it attends the tokens that it pads with."""
    from local_attention import LocalAttention

    query, key, value = inputs = projections(shape)
    real = attention_mask(shape)
    if real is None:
        real = torch.ones(shape.batch, shape.tokens, dtype=torch.bool, device=shape.device)
    layer = LocalAttention(
        shape.window, look_backward=1, look_forward=1, autopad=True, exact_windowsize=True, use_rotary_pos_emb=False
    )
    return Work(lambda: layer(query, key, value, mask=real), inputs)
