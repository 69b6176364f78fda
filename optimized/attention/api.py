"""The public function `band_attention`: checks its arguments, then calls the implementation that was asked for.

A call of the first edition, with one shape and a window of one number, goes to the operator of bands; all else goes to
that of spans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from trueband.optimized.attention import arguments
from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.rows import check_together
from trueband.optimized.attention.operators.band_op import band_op
from trueband.optimized.attention.operators.span_op import span_op
from trueband.optimized.attention.triton.operator import triton_band
from trueband.optimized.attention.triton.requirements import refusal, span_refusal
from trueband.optimized.attention.triton.span_operator import span_triton

KNOWN = ("auto", "chunked", "triton")
Limits = tuple[int | None, int | None]


@overload
def band_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | Limits,
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
    offset: int | Tensor = 0,
    segments: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    return_lse: Literal[False] = False,
    impl: str = "auto",
) -> Tensor: ...
@overload
def band_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | Limits,
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
    offset: int | Tensor = 0,
    segments: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    return_lse: Literal[True],
    impl: str = "auto",
) -> tuple[Tensor, Tensor]: ...


def band_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | Limits,
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
    offset: int | Tensor = 0,
    segments: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    return_lse: bool = False,
    impl: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Sliding-window attention with global tokens (Longformer, arXiv 2004.05150, section 3.1), in linear memory.

    Shapes: b batch, h query heads, k heads of keys and values, m queries, n tokens (keys), d head dim, e head dim of
    values; any m and n >= 1, no multiple of anything is required.

    Args:
        query, key, value: (b, h, m, d), (b, k, n, d) and (b, k, n, e), one of float32, float64, bfloat16, float16; k
            divides h, and query head x reads head x // (h / k). Work is done in float64 for float64 and in float32
            for all others.
        window: one-sided, in steps of the dilation: token i sees |i - j| <= window * dilation. Half of the Hub's
            `attention_window`. Or a pair (left, right), where None is no limit; a `sliding_window` that counts the
            token itself is left = sliding_window - 1.
        attention_mask: (b, n) bool, True for real tokens; None: all real. What masked tokens hold changes nothing;
            their output and their gradients are exactly 0.
        global_attention_mask: (b, n) bool, True for tokens that attend, and are attended by, every real token; None:
            none. A flag on a masked token is dropped. Global tokens need m = n, and go with neither `causal` nor an
            `offset`, `segments`, `sinks` or `slopes`.
        query_global, key_global, value_global: of the shapes of query, key and value, used by the rows of global
            tokens; None: as the locals.
        dilation: one int, or one for each query head: only offsets that are multiples of it are seen.
        causal: no key to the right, whatever the window says.
        head_mask: (h,) of a floating dtype, multiplies the probabilities of a head after the softmax.
        scale: the scale of the scores; None means 1 / sqrt(d).
        dropout_p: probability of dropping a probability, in [0, 1); seeded from torch's default generator.
        offset: int, or (b,) int64: query i stands at token offset + i. n - m aligns the last query with the last key;
            with a cache, it is the number of tokens before.
        segments: (b, n) of an integer dtype: a row attends keys of the segment of its own token only. Every query must
            stand at one of the n tokens.
        softcap: c > 0: a score s becomes c tanh(s / c).
        sinks: (h,) of a floating dtype: the score of one key more, that every row attends and whose value is 0.
        slopes: (h,) of a floating dtype: slope * distance in tokens is taken off a score. Not with a dilation.
        return_lse: return the logarithm of the sum of the exponentials of each row's scores, too.
        impl: "chunked" (any device and dtype); "triton" (fused kernels for CUDA devices; not float64, no dropout; needs
            the package triton; the error says what else it does not serve); "auto": triton where it can serve the call
            on a CUDA device, else chunked. An implementation asked for by name never falls back to another.

    Returns:
        (b, h, m, e), dtype of query, stored as (b, m, h, e); with `return_lse` also lse (b, h, m), float32, of float64
        inputs float64. The lse of a masked row is -inf; that of a row without keys its sink, or else -inf.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    if impl not in KNOWN:
        raise ValueError(f"impl: expected one of {KNOWN}, got {impl!r}")
    arguments.check_query(query)
    batch, heads, _, head_dim = query.shape
    arguments.check_key(key, query)
    arguments.check_value(value, key, query)
    for name, own, like in (
        ("query_global", query_global, query),
        ("key_global", key_global, key),
        ("value_global", value_global, value),
    ):
        if own is not None:
            arguments.check_like(name, own, like, query)
    left, right = arguments.check_window(window)
    tokens = (batch, key.shape[2])
    masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
    for name, mask in masks.items():
        if mask is not None:
            arguments.check_mask(name, mask, tokens, query.device)
    dilations = arguments.check_dilation(dilation, heads)
    arguments.check_flag("causal", causal)
    if head_mask is not None:
        arguments.check_per_head("head_mask", head_mask, heads, query.device)
    scale = arguments.check_scale(scale, head_dim)
    dropout_p = arguments.check_dropout(dropout_p)
    arguments.check_offset(offset, batch, query.device)
    if segments is not None:
        arguments.check_segments(segments, tokens, query.device)
    softcap = arguments.check_softcap(softcap)
    if sinks is not None:
        arguments.check_per_head("sinks", sinks, heads, query.device)
    if slopes is not None:
        arguments.check_slopes(slopes, dilations, query.device)
    arguments.check_flag("return_lse", return_lse)

    projections = (query, key, value, query_global, key_global, value_global)
    in_place = query.shape == key.shape and key.shape == value.shape and not isinstance(offset, Tensor) and offset == 0
    same_scores = segments is None and softcap is None and sinks is None and slopes is None
    if in_place and same_scores and not isinstance(window, arguments.PAIR) and not return_lse:
        return find_implementation(impl, query, dropout_p)(
            *projections,
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
    call = SpanArguments(
        *projections,
        head_mask,
        sinks,
        slopes,
        attention_mask,
        global_attention_mask,
        segments,
        offset if isinstance(offset, Tensor) else None,
        dropout_seed(dropout_p),
        left,
        right,
        dilations,
        causal,
        scale,
        softcap,
        0 if isinstance(offset, Tensor) else offset,
        dropout_p,
    )
    output, lse = find_span_implementation(impl, call)(*call)
    return (output, lse) if return_lse else output


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


def find_span_implementation(impl: str, call: SpanArguments) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same for a call that the operator of bands does not take."""
    if impl == "chunked" or (impl == "auto" and not call.query.is_cuda):
        return span_op
    reason = span_refusal(call)
    if reason is None:
        return span_triton
    if impl == "triton":
        if not call.query.is_meta:
            check_together(call)  # what no implementation takes is told first, as everywhere
        raise ValueError(reason)
    return span_op


def dropout_seed(dropout_p: float) -> Tensor | None:
    """A fresh seed from torch's default generator: drawn outside of the operator, so that both passes use one."""
    return torch.randint(2**62, (), dtype=torch.int64) if dropout_p else None
