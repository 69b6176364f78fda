"""`sdpa-gqa`: torch's scaled_dot_product_attention with enable_gqa, windows and offsets in a dense boolean mask.

Added here: the mask; rows that attend no key set to 0, since what the peer gives for them depends on its backend. Its
backward pass adds with atomics on some backends, and is not declared deterministic.
"""

from __future__ import annotations

from typing import Any

from trueband.adapters.second_edition import rows_of
from trueband.properties.candidate.target import Target


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Any,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    offset: Any = 0,
    segments: Any = None,
) -> Any:
    """The contract's operator without global tokens, (b, h, m, d) in and (b, h, m, e) out; memory quadratic."""
    from torch.nn.functional import scaled_dot_product_attention

    keys = rows_of(query, key, window, attention_mask, causal, offset, segments).keys
    output = scaled_dot_product_attention(query, key, value, attn_mask=keys, scale=scale, enable_gqa=True)
    return output.masked_fill(~keys.any(-1, keepdim=True), 0)


target = Target(
    attention,
    dtypes=("float64", "float32", "bfloat16", "float16"),
    features=frozenset(
        {
            *("padding", "causal", "scale", "backward", "deterministic"),
            *("gqa", "value_dim", "asymmetric", "unlimited_side", "offset", "offset_per_row", "segments"),
        }
    ),
    library="torch",
    name="torch scaled_dot_product_attention[enable_gqa]",
)
