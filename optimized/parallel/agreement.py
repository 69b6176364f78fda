"""What every rank checks of its arguments before it meets the others, and what all ranks must have alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor

from trueband.optimized.attention import arguments

Maybe = Tensor | None


def group_of(group: Any) -> Any:
    """Return the process group of a group, of a `DeviceMesh` of one dimension, or of None: the default one.

    Raises:
        TypeError: anything else.
    """
    found = group.get_group() if hasattr(group, "get_group") else group
    found = dist.group.WORLD if found is None else found
    if not isinstance(found, dist.ProcessGroup):
        raise TypeError(f"group: expected a process group, a DeviceMesh of one dimension or None, got {group!r}")
    return found


def check_shard(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    far: Mapping[str, tuple[Maybe, Tensor]],
    masks: Mapping[str, Maybe],
    segments: Maybe,
    per_head: Mapping[str, Maybe],
) -> None:
    """ValueError or TypeError for what is not of this rank's tokens; a rank may have none.

    Args:
        far: query_global, key_global and value_global, each with what it has the shape of.
    """
    arguments.check_tensor("query", query)
    if query.dtype not in arguments.DTYPES:
        raise TypeError(f"query: expected dtype float32, float64, bfloat16 or float16, got {query.dtype}")
    if query.ndim != 4:
        raise ValueError(
            f"query: expected shape (batch, heads, tokens of this rank, head_dim), got {tuple(query.shape)}"
        )
    batch, heads, tokens, head_dim = query.shape
    arguments.check_projection("key", key, query, (batch, "key heads", tokens, head_dim), "shape")
    if heads % key.shape[1]:
        raise ValueError(f"key: expected a number of heads that divides the {heads} of query, got {key.shape[1]}")
    shape = (batch, key.shape[1], tokens, "value_dim")
    arguments.check_projection("value", value, query, shape, "the batch, heads and tokens of key")
    for name, (tensor, like) in far.items():
        if tensor is not None:
            arguments.check_like(name, tensor, like, query)
    for name, mask in masks.items():
        if mask is not None:
            arguments.check_mask(name, mask, (batch, tokens), query.device)
    if segments is not None:
        arguments.check_segments(segments, (batch, tokens), query.device)
    for name, values in per_head.items():
        if values is not None:
            arguments.check_per_head(name, values, heads, query.device)
