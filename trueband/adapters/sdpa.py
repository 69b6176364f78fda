"""`sdpa`: torch's scaled_dot_product_attention with a dense boolean mask.

Added here: the mask; a second call for the rows of global tokens; rows of masked tokens set to 0, since what the peer
gives for a row without keys depends on its backend; the head mask. Its backward pass adds with atomics on some
backends, and is not declared deterministic.
"""

from __future__ import annotations

from typing import Any

from trueband.adapters.dense_masks import dense_masks, join_rows
from trueband.properties.candidate.target import WHOLE_CONTRACT, Target


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    global_attention_mask: Any = None,
    query_global: Any = None,
    key_global: Any = None,
    value_global: Any = None,
    dilation: Any = 1,
    causal: bool = False,
    head_mask: Any = None,
    scale: float | None = None,
) -> Any:
    """The contract's operator, (b, h, n, d) tensors in and out; memory quadratic in n."""
    from torch.nn.functional import scaled_dot_product_attention

    masks = dense_masks(query, window, attention_mask, global_attention_mask, dilation, causal)
    output = scaled_dot_product_attention(query, key, value, attn_mask=masks.local_keys, scale=scale)
    rows = None
    if global_attention_mask is not None:
        query, key, value = (
            local if own is None else own
            for local, own in ((query, query_global), (key, key_global), (value, value_global))
        )
        keys = masks.real[:, None, None, :].expand(-1, 1, query.shape[2], -1)
        rows = scaled_dot_product_attention(query, key, value, attn_mask=keys, scale=scale)
    return join_rows(masks, output, rows, head_mask)


target = Target(
    attention,
    dtypes=("float64", "float32", "bfloat16", "float16"),
    features=WHOLE_CONTRACT - {"nan_local", "batch_invariant", "validation", "deterministic_gradients"},
    library="torch",
    name="torch scaled_dot_product_attention",
)
