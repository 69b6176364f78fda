"""The attention of today's decoders: causal, a window to the left, grouped heads; all tokens, or one at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.bench.contenders import Work
from trueband.bench.inputs import normal
from trueband.bench.shape import GROUP, Shape
from trueband.optimized import band_attention


def inputs_of(shape: Shape) -> list[Tensor]:
    """Query (b, h, m, d), key and value (b, h / GROUP, n, d); m is 1 for a step of decoding, else n."""
    queries = 1 if shape.level == "decode" else shape.tokens
    key_heads = max(shape.heads // GROUP, 1)
    query = normal(shape, shape.batch, shape.heads, queries, shape.head_dim)
    keys = [normal(shape, shape.batch, key_heads, shape.tokens, shape.head_dim, seed=seed) for seed in (1, 2)]
    return [query, *keys]


def ours(shape: Shape) -> Work:
    """Our operator."""
    query, key, value = inputs = inputs_of(shape)
    options: dict[str, Any] = {"window": (shape.window, 0), "offset": key.shape[2] - query.shape[2]}
    return Work(lambda: band_attention(query, key, value, **options), inputs)


def dense_mask(query: Tensor, key: Tensor, window: int) -> Tensor:
    """(m, n) bool: what a row sees."""
    tokens, queries = key.shape[2], query.shape[2]
    at = torch.arange(tokens - queries, tokens, device=query.device)[:, None]
    ahead = torch.arange(tokens, device=query.device) - at
    return (ahead <= 0) & (ahead >= -window)


def sdpa(shape: Shape) -> Work:
    query, key, value = inputs = inputs_of(shape)
    mask = dense_mask(query, key, shape.window)
    attention = torch.nn.functional.scaled_dot_product_attention
    return Work(lambda: attention(query, key, value, attn_mask=mask, enable_gqa=True), inputs, held=mask.nbytes)


def sdpa_sliced(shape: Shape) -> Work:
    """A step that is given the keys of its window alone: what an implementation that drops older keys computes."""
    query, key, value = inputs = inputs_of(shape)
    first = max(shape.tokens - shape.window - 1, 0)
    attention = torch.nn.functional.scaled_dot_product_attention
    return Work(lambda: attention(query, key[:, :, first:], value[:, :, first:], enable_gqa=True), inputs)


def flex_compiled(shape: Shape) -> Work:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    query, key, value = inputs = inputs_of(shape)
    before = key.shape[2] - query.shape[2]

    def seen(b: Any, h: Any, i: Any, j: Any) -> Any:
        return (j <= i + before) & (j >= i + before - shape.window)

    mask = create_block_mask(seen, None, None, query.shape[2], key.shape[2], device=shape.device, _compile=True)
    attention = torch.compile(flex_attention, dynamic=False)
    return Work(lambda: attention(query, key, value, block_mask=mask, enable_gqa=True), inputs)


def eager(shape: Shape) -> Work:
    """transformers' eager attention of Mistral, with the additive mask that its models make."""
    from transformers.models.mistral.modeling_mistral import eager_attention_forward

    query, key, value = inputs = inputs_of(shape)
    least = torch.finfo(query.dtype).min
    mask = torch.zeros(query.shape[2], key.shape[2], dtype=query.dtype, device=query.device)
    mask = mask.masked_fill_(~dense_mask(query, key, shape.window), least)[None, None]
    module = torch.nn.Module().eval()
    module.num_key_value_groups = query.shape[1] // key.shape[1]  # type: ignore[assignment]
    scaling = shape.head_dim**-0.5
    return Work(
        lambda: eager_attention_forward(module, query, key, value, mask, scaling=scaling)[0],
        inputs,
        held=mask.nbytes,
    )
