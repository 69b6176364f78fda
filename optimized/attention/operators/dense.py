"""The operators as whole tables of plain torch operations: what ONNX gets, which knows no operator of trueband.

No shape and no branch depends on the contents of a tensor or on a length: one graph holds for every batch and length.
Memory grows with queries times keys. Nothing else runs here: the operators themselves are linear.
Shapes: b batch, h heads, m queries, n keys, d head dim, e that of the values, D hidden size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from trueband.optimized.attention.chunked.block import working_dtype

Maybe = Tensor | None


def in_onnx(operator: Callable[..., Any], dense: Callable[..., Any]) -> Callable[..., Any]:
    """The operator; its dense form while `torch.onnx.export` traces a model."""

    @functools.wraps(dense)
    def called(*arguments: Any, **options: Any) -> Any:
        return (dense if torch.onnx.is_in_onnx_export() else operator)(*arguments, **options)

    return called


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Maybe, scale: float, head_mask: Maybe) -> Tensor:
    """(b, h, m, e) of rows that attend the keys that are seen, a bool table that broadcasts to (b, h, m, n)."""
    return _weighted(scale * (_wide(query) @ _wide(key).mT), value, seen, head_mask)


def _weighted(scores: Tensor, value: Tensor, seen: Maybe, head_mask: Maybe) -> Tensor:
    dtype, value = value.dtype, _wide(value)
    if seen is None:
        p = scores.softmax(dim=-1)
    else:
        p = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1).masked_fill(~seen, 0)
    p = p if head_mask is None else p * head_mask[:, None, None].to(p.dtype)
    return (p @ value).to(dtype)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(working_dtype(tensor.dtype))


def ahead(queries: int, keys: int, device: torch.device, shift: int = 0) -> Tensor:
    """(m, n): how far each key stands behind each query; query 0 stands at token `shift`."""
    return torch.arange(keys, device=device)[None, :] - torch.arange(queries, device=device)[:, None] - shift


def without_dropout(seed: Maybe) -> None:
    """ValueError where a model is exported as it trains."""
    if seed is not None:
        raise ValueError("dropout: expected a model in eval mode for ONNX, got one that trains; call eval() first")


def real_values(tensor: Tensor, attention_mask: Maybe) -> Tensor:
    """(b, h, n, d) with 0 in masked tokens, whatever they hold."""
    return tensor if attention_mask is None else tensor.masked_fill(~attention_mask[:, None, :, None], 0)


def band(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_global: Maybe,
    key_global: Maybe,
    value_global: Maybe,
    head_mask: Maybe,
    attention_mask: Maybe,
    global_attention_mask: Maybe,
    seed: Maybe,
    window: int,
    dilations: Sequence[int],
    causal: bool,
    scale: float,
    dropout_p: float,
    global_rows: bool,
) -> Tensor:
    """`band_op` with the same arguments."""
    without_dropout(seed)
    query, key, value = (real_values(tensor, attention_mask) for tensor in (query, key, value))
    distance = ahead(query.shape[2], key.shape[2], query.device)
    steps = torch.tensor(list(dilations), device=query.device)[:, None, None]
    seen = (distance.abs() <= window * steps) & (distance % steps == 0)  # (h, n, n)
    seen = (seen & (distance <= 0) if causal else seen)[None]
    flags = global_attention_mask
    if flags is not None:
        flags = flags if attention_mask is None else flags & attention_mask
        seen = seen | flags[:, None, None, :]
    if attention_mask is not None:
        seen = seen & attention_mask[:, None, None, :]
    output = attend(query, key, value, seen, scale, head_mask)
    if flags is not None:
        of_globals = torch.zeros_like(output)
        if global_rows:
            far = (query_global, key_global, value_global)
            own = [
                tensor if other is None else real_values(other, attention_mask)
                for tensor, other in zip((query, key, value), far, strict=True)
            ]
            real = None if attention_mask is None else attention_mask[:, None, None, :]
            of_globals = attend(own[0], own[1], own[2], real, scale, head_mask)
        output = torch.where(flags[:, None, :, None], of_globals, output)
    return real_values(output, attention_mask)


def full(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_mask: Maybe,
    attention_mask: Maybe,
    seed: Maybe,
    scale: float,
    dropout_p: float,
    causal: bool = False,
) -> Tensor:
    """`full_op` with the same arguments."""
    without_dropout(seed)
    key, value = real_values(key, attention_mask), real_values(value, attention_mask)
    return attend(query, key, value, _seen_in_full(query, key, attention_mask, causal), scale, head_mask)


def _seen_in_full(query: Tensor, key: Tensor, attention_mask: Maybe, causal: bool) -> Maybe:
    seen = None if attention_mask is None else attention_mask[:, None, None, :]
    if causal:
        queries, keys = query.shape[2], key.shape[2]
        before = (ahead(queries, keys, query.device, keys - queries) <= 0)[None, None]
        seen = before if seen is None else seen & before
    return seen


def relative(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distances: Tensor,
    head_mask: Maybe,
    attention_mask: Maybe,
    seed: Maybe,
    scale: float,
    dropout_p: float,
    causal: bool,
    of_keys: bool,
) -> Tensor:
    """`relative_op` with the same arguments."""
    without_dropout(seed)
    key, value = real_values(key, attention_mask), real_values(value, attention_mask)
    queries, keys = query.shape[2], key.shape[2]
    behind = -ahead(queries, keys, query.device, keys - queries if causal else 0)
    table = _wide(distances[behind + (distances.shape[0] - 1) // 2])  # (m, n, d)
    own, of = _wide(query), _wide(key)
    scores = own @ of.mT + torch.einsum("bhmd,mnd->bhmn", own, table)
    if of_keys:
        scores = scores + torch.einsum("bhnd,mnd->bhmn", of, table)
    return _weighted(scale * scores, value, _seen_in_full(query, key, attention_mask, causal), head_mask)


def projected(
    hidden_states: Tensor,
    query_weight: Tensor,
    query_bias: Tensor,
    key_weight: Tensor,
    key_bias: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
    head_mask: Maybe,
    attention_mask: Maybe,
    global_attention_mask: Maybe,
    seed: Maybe,
    heads: int,
    scale: float,
    dropout_p: float,
) -> Tensor:
    """`projected_op` with the same arguments."""
    without_dropout(seed)
    if global_attention_mask is None:
        return torch.zeros_like(hidden_states)
    flags = global_attention_mask if attention_mask is None else global_attention_mask & attention_mask
    states = hidden_states if attention_mask is None else hidden_states.masked_fill(~attention_mask[..., None], 0)
    projections = ((query_weight, query_bias), (key_weight, key_bias), (value_weight, value_bias))
    query, key, value = (linear(states, *each).unflatten(-1, (heads, -1)).transpose(1, 2) for each in projections)
    real = None if attention_mask is None else attention_mask[:, None, None, :]
    context = attend(query, key, value, real, scale, head_mask).transpose(1, 2).flatten(2)
    return context * flags[..., None]
