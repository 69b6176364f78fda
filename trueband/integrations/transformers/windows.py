"""A call of the attention interface in the terms of the operator.

`attend` is where the operator's first edition is stretched to what such models ask for: key heads are expanded, and
queries of the last tokens stand behind empty ones. With key heads and `offset` in the operator it becomes one call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

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
    """(b, h, m, d). Raises ValueError for what the operator does not have."""
    query, key, value = call.query, call.key, call.value
    for name, given in (("softcap", call.softcap), ("s_aux", call.sinks)):
        if given is not None:
            raise ValueError(f"{name}: expected None, which is all that the attention of trueband takes today, got one")
    if value.shape[-1] != query.shape[-1]:
        raise ValueError(f"value: expected head dim {query.shape[-1]} as that of query, got {value.shape[-1]}")
    queries, tokens = query.shape[2], key.shape[2]
    if queries != tokens and not call.causal:
        raise ValueError(f"query: expected {tokens} tokens as key has, where attention is not causal, got {queries}")
    reached = tokens if call.left is None else min(tokens, call.left + queries)
    mask = None if call.attention_mask is None else call.attention_mask[:, -reached:]
    repeats = query.shape[1] // key.shape[1]
    key, value = (each[:, :, -reached:].repeat_interleave(repeats, dim=1) for each in (key, value))
    query = pad(query, (0, 0, reached - queries, 0))
    options: dict[str, Any] = {"attention_mask": mask, "scale": call.scale, "dropout_p": call.dropout_p}
    if queries == 1 and reached > 1:  # a row that sees all keys: a global one, beside which the others cost nothing
        last = torch.zeros(len(query), reached, dtype=torch.bool, device=query.device)
        last[:, -1] = True
        return band_attention(query, key, value, window=0, global_attention_mask=last, **options)[:, :, -1:]
    window = reached if call.left is None else call.left
    return band_attention(query, key, value, window=window, causal=call.causal, **options)[:, :, -queries:]
