"""Dense attention in PyTorch with everything of the second edition of the contract: a correct kernel of another making.

trueband check tools/dense_extended.py:target
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.properties.candidate.target import SECOND_EDITION, Target


def seen(
    query: Tensor,
    key: Tensor,
    window: Any,
    attention_mask: Tensor | None,
    is_global: Tensor,
    dilation: Any,
    causal: bool,
    positions: Tensor,
    segments: Tensor | None,
) -> Tensor:
    """(b, h, m, n): which keys a local row sees."""
    heads, tokens = query.shape[1], key.shape[2]
    left, right = window if isinstance(window, tuple) else (window, window)
    right = 0 if causal else right
    step = torch.tensor(dilation if isinstance(dilation, tuple) else (dilation,) * heads)[None, :, None, None]
    ahead = (torch.arange(tokens) - positions[..., None])[:, None]
    band = ahead % step == 0
    band = band if left is None else band & (ahead >= -left * step)
    band = band if right is None else band & (ahead <= right * step)
    if segments is not None:
        own = segments.gather(1, positions.expand(len(segments), -1).clamp(0, tokens - 1))
        band = band & (own[:, None, :, None] == segments[:, None, None, :])
    band = band | is_global[:, None, None, :]
    return band if attention_mask is None else band & attention_mask[:, None, None, :]


def rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor,
    scale: float,
    softcap: float | None,
    bias: Tensor | None,
    sinks: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Softmax over the visible keys, and a sink: output and lse."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = scale * (query @ key.mT)
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    scores = (scores if bias is None else scores + bias).masked_fill(~visible, float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks[None, :, None, None].expand(*scores.shape[:3], 1).to(scores.dtype)], -1)
    some = (scores > float("-inf")).any(-1, keepdim=True)
    lse = scores.masked_fill(~some, 0.0).logsumexp(-1).masked_fill(~some[..., 0], float("-inf"))
    p = scores.masked_fill(~some, 0.0).softmax(-1) * some
    p = p if sinks is None else p[..., :-1]
    return (p * visible) @ value, lse


def kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: Any,
    attention_mask: Tensor | None = None,
    global_attention_mask: Tensor | None = None,
    query_global: Tensor | None = None,
    key_global: Tensor | None = None,
    value_global: Tensor | None = None,
    dilation: Any = 1,
    causal: bool = False,
    head_mask: Tensor | None = None,
    scale: float | None = None,
    offset: Any = 0,
    segments: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    return_lse: bool = False,
) -> Any:
    """The operator of the contract through dense masks, in float32, for float64 in float64."""
    dtype, work = query.dtype, torch.float64 if query.dtype == torch.float64 else torch.float32
    batch, _, queries, head_dim = query.shape
    tokens = key.shape[2]
    scale = head_dim**-0.5 if scale is None else scale
    offsets = offset if isinstance(offset, Tensor) else torch.tensor([offset])
    positions = offsets[:, None] + torch.arange(queries)
    real = torch.ones(batch, tokens, dtype=torch.bool) if attention_mask is None else attention_mask
    is_global = torch.zeros_like(real) if global_attention_mask is None else global_attention_mask & real

    def of_rows(flags: Tensor, beyond: bool) -> Tensor:
        at = positions.expand(batch, -1)
        inside = (at >= 0) & (at < tokens)
        return torch.where(inside, flags.gather(1, at.clamp(0, tokens - 1)), torch.tensor(beyond))

    real_rows, global_rows = of_rows(real, True), of_rows(is_global, False)

    def clean(x: Tensor, kept: Tensor) -> Tensor:
        return torch.where(kept[:, None, :, None], x.to(work), 0.0)

    q, k, v = clean(query, real_rows), clean(key, real), clean(value, real)
    visible = seen(q, k, window, attention_mask, is_global, dilation, causal, positions, segments)
    bias = None
    if slopes is not None:
        far = (torch.arange(tokens) - positions[..., None]).abs()[:, None]
        bias = -slopes.to(work)[None, :, None, None] * far
    output, lse = rows(q, k, v, visible, scale, softcap, bias, sinks)
    if is_global.any():
        own = [one if other is None else other for one, other in ((query, query_global), (key, key_global))]
        own.append(value if value_global is None else value_global)
        everything = real[:, None, None, :].expand(*visible.shape)
        full, full_lse = rows(
            clean(own[0], real_rows), clean(own[1], real), clean(own[2], real), everything, scale, softcap, None, None
        )
        output = torch.where(global_rows[:, None, :, None], full, output)
        lse = torch.where(global_rows[:, None], full_lse, lse)
    output = output if head_mask is None else output * head_mask.to(work)[None, :, None, None]
    output = torch.where(real_rows[:, None, :, None], output, 0.0).to(dtype)
    lse = torch.where(real_rows[:, None], lse, float("-inf"))
    return (output, lse) if return_lse else output


target = Target(
    kernel,
    dtypes=("float32", "float64", "bfloat16", "float16"),
    features=SECOND_EDITION - {"validation", "batch_invariant", "nan_local"},
    name="dense_extended",
)
