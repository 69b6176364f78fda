"""The contract's masks as dense (n, n) matrices of torch, for peers that take such masks."""

from __future__ import annotations

from typing import Any, NamedTuple


class Masks(NamedTuple):
    """Dense masks of one call.

    Attributes:
        real: (b, n): real tokens.
        is_global: (b, n): real tokens with the global flag.
        local_keys: (b or 1, h or 1, n, n): keys that a row attends as a local row.
    """

    real: Any
    is_global: Any
    local_keys: Any


def dense_masks(
    query: Any, window: int, attention_mask: Any, global_attention_mask: Any, dilation: Any = 1, causal: bool = False
) -> Masks:
    """Masks for a query (b, h, n, d)."""
    import torch

    batch, _, tokens, _ = query.shape
    everywhere = torch.ones(batch, tokens, dtype=torch.bool, device=query.device)
    real = everywhere if attention_mask is None else attention_mask
    is_global = ~everywhere if global_attention_mask is None else global_attention_mask & real
    position = torch.arange(tokens, device=query.device)
    offset = (position[:, None] - position)[None]
    step = torch.as_tensor(dilation, device=query.device).reshape(-1, 1, 1)  # (h or 1, 1, 1)
    near = (offset.abs() <= window * step) & (offset % step == 0)
    if causal:
        near = near & (offset >= 0)
    return Masks(real, is_global, (near[None] | is_global[:, None, None, :]) & real[:, None, None, :])


def join_rows(masks: Masks, local: Any, global_: Any | None, head_mask: Any) -> Any:
    """Rows of global tokens from `global_`, the others from `local`; rows of masked tokens 0; times the head mask."""
    output = local if global_ is None else global_.where(masks.is_global[:, None, :, None], local)
    output = output.masked_fill(~masks.real[:, None, :, None], 0)
    return output if head_mask is None else output * head_mask[:, None, None]
