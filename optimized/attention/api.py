"""The public function `band_attention`: checks its arguments, then calls the implementation that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trueband.optimized.attention import arguments
from trueband.optimized.attention.operators.band_op import band_op
from trueband.optimized.attention.triton.operator import triton_band
from trueband.optimized.attention.triton.requirements import refusal

KNOWN = ("auto", "chunked", "triton")


def band_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int,
    attention_mask: Tensor | None = None,
    global_attention_mask: Tensor | None = None,
    query_global: Tensor | None = None,
    key_global: Tensor | None = None,
    value_global: Tensor | None = None,
    dilation: int | Sequence[int] = 1,
    causal: bool = False,
    head_mask: Tensor | None = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
    impl: str = "auto",
) -> Tensor:
    """Sliding-window attention with global tokens (Longformer, arXiv 2004.05150, section 3.1), in linear memory.

    Shapes: b batch, h heads, n tokens, d head dim; any n >= 1, no multiple of anything is required.

    Args:
        query, key, value: (b, h, n, d), one of float32, float64, bfloat16, float16. Work is done in float64 for
            float64 and in float32 for all others.
        window: one-sided, in tokens: token i sees |i - j| <= window * dilation. Half of the Hub's `attention_window`.
        attention_mask: (b, n) bool, True for real tokens; None: all real. What masked tokens hold changes nothing;
            their output and their gradients are exactly 0.
        global_attention_mask: (b, n) bool, True for tokens that attend, and are attended by, every real token; None:
            none. A flag on a masked token is dropped.
        query_global, key_global, value_global: (b, h, n, d), used by the rows of global tokens; None: as the locals.
        dilation: one int, or one for each head: only offsets that are multiples of it are seen.
        causal: only j <= i. Not defined with global tokens.
        head_mask: (h,) of a floating dtype, multiplies the probabilities of a head after the softmax.
        scale: the scale of the scores; None means 1 / sqrt(d).
        dropout_p: probability of dropping a probability, in [0, 1); seeded from torch's default generator.
        impl: "chunked" (any device and dtype); "triton" (fused kernels for CUDA devices; not float64, no dropout,
            head_dim <= 128; needs the package triton); "auto": triton where it can serve the call on a CUDA device,
            else chunked. An implementation asked for by name never falls back to another.

    Returns:
        (b, h, n, d), dtype of query, stored as (b, n, h, d).

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    if impl not in KNOWN:
        raise ValueError(f"impl: expected one of {KNOWN}, got {impl!r}")
    arguments.check_query(query)
    batch, heads, tokens, head_dim = query.shape
    arguments.check_like_query("key", key, query)
    arguments.check_like_query("value", value, query)
    separate = {"query_global": query_global, "key_global": key_global, "value_global": value_global}
    for name, tensor in separate.items():
        if tensor is not None:
            arguments.check_like_query(name, tensor, query)
    arguments.check_integer("window", window, least=0)
    masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
    for name, mask in masks.items():
        if mask is not None:
            arguments.check_mask(name, mask, (batch, tokens), query.device)
    dilations = arguments.check_dilation(dilation, heads)
    arguments.check_causal(causal)
    if head_mask is not None:
        arguments.check_head_mask(head_mask, heads, query.device)
    scale = arguments.check_scale(scale, head_dim)
    dropout_p = arguments.check_dropout(dropout_p)
    return find_implementation(impl, query, dropout_p)(
        query,
        key,
        value,
        query_global,
        key_global,
        value_global,
        head_mask,
        attention_mask,
        global_attention_mask,
        dropout_seed(dropout_p),
        window,
        dilations,
        causal,
        scale,
        dropout_p,
        True,
    )


def find_implementation(impl: str, query: Tensor, dropout_p: float) -> Callable[..., Tensor]:
    """The implementation asked for, or a ValueError that says why it cannot serve the call."""
    if impl == "chunked" or (impl == "auto" and not query.is_cuda):
        return band_op
    reason = refusal(query, dropout_p)
    if reason is None:
        return triton_band
    if impl == "triton":
        raise ValueError(reason)
    return band_op


def dropout_seed(dropout_p: float) -> Tensor | None:
    """A fresh seed from torch's default generator: drawn outside of the operator, so that both passes use one."""
    return torch.randint(2**62, (), dtype=torch.int64) if dropout_p else None
