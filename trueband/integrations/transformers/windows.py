"""A call of the attention interface in the terms of the operator."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from trueband.optimized import band_attention


class Call(NamedTuple):
    """Query (b, h, m, d); key, value (b, k, n, d); the queries are those of the last m tokens.

    `left`: how many tokens before its own a row sees, and behind it if not `causal`; None: no limit.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    left: int | None
    causal: bool
    attention_mask: Tensor | None
    scale: float | None
    dropout_p: float
    softcap: float | None
    sinks: Tensor | None


def attend(call: Call) -> Tensor:
    """(b, h, m, e)."""
    before = call.key.shape[2] - call.query.shape[2]
    # One limit, where that says it: the operator has a faster path for that.
    window: Any = (None, 0 if call.causal else None) if call.left is None else call.left
    return band_attention(
        call.query,
        call.key,
        call.value,
        window=window,
        causal=call.causal,
        attention_mask=call.attention_mask,
        scale=call.scale,
        dropout_p=call.dropout_p,
        offset=before,
        softcap=call.softcap,
        sinks=call.sinks,
    )
