"""`flex`: torch's flex_attention, not compiled, with a block mask.

Added here: the mask as a `mask_mod`; a second call for the rows of global tokens; the head mask. A row without keys
gives 0 by itself. On the CPU it has no backward pass, and rounds scores to the dtype of the input: only the wide dtypes
are declared.
"""

from __future__ import annotations

import warnings
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
    """The contract's operator, (b, h, n, d) tensors in and out."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    masks = dense_masks(query, window, attention_mask, global_attention_mask, dilation, causal)
    batch, heads, tokens, _ = query.shape
    step = torch.as_tensor(dilation, device=query.device).expand(heads)
    real, is_global = masks.real, masks.is_global

    def local(b: Any, h: Any, i: Any, j: Any) -> Any:
        offset = i - j
        near = (offset.abs() <= window * step[h]) & (offset % step[h] == 0) & ((offset >= 0) | (not causal))
        return (near | is_global[b, j]) & real[b, j] & real[b, i]

    def everything(b: Any, h: Any, i: Any, j: Any) -> Any:
        return is_global[b, i] & real[b, j]

    def run(mask_mod: Any, q: Any, k: Any, v: Any) -> Any:
        block_mask = create_block_mask(mask_mod, batch, heads, tokens, tokens, device=query.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it runs without torch.compile
            return flex_attention(q, k, v, block_mask=block_mask, scale=scale)

    output = run(local, query, key, value)
    rows = None
    if global_attention_mask is not None:
        rows = run(
            everything,
            query if query_global is None else query_global,
            key if key_global is None else key_global,
            value if value_global is None else value_global,
        )
    return join_rows(masks, output, rows, head_mask)


target = Target(
    attention,
    dtypes=("float64", "float32"),
    features=WHOLE_CONTRACT
    - {"nan_local", "batch_invariant", "validation", "backward", "head_mask_gradient", "deterministic_gradients"},
    library="torch",
    name="torch flex_attention",
)
