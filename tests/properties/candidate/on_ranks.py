"""Targets on ranks: a correct one, and some that end otherwise."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
import torch.distributed as dist

from trueband.properties.candidate.target import Target


def gathered(own: torch.Tensor, tokens: int, group: Any) -> torch.Tensor:
    ranks = dist.get_world_size(group)
    size = -(-tokens // ranks)
    padded = torch.nn.functional.pad(own, (0, 0, 0, size - own.shape[2])).contiguous()
    parts = [torch.empty_like(padded) for _ in range(ranks)]
    dist.all_gather(parts, padded, group=group)
    return torch.cat(parts, dim=2)[:, :, :tokens]


def attention(query: Any, key: Any, value: Any, *, window: int, offset: int, tokens: int, group: Any) -> Any:
    keys, values = gathered(key, tokens, group), gathered(value, tokens, group)
    ahead = torch.arange(tokens) - (offset + torch.arange(query.shape[2]))[:, None]
    scores = query @ keys.transpose(2, 3) * query.shape[3] ** -0.5
    return scores.masked_fill(ahead.abs() > window, float("-inf")).softmax(-1) @ values


def is_meant(options: dict[str, Any], group: Any) -> bool:
    """Whether this is the rank that misbehaves, in the call that a test makes: no other has as many tokens."""
    return bool(options["tokens"] == 11 and dist.get_rank(group) == 1)


def dies(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    if is_meant(options, group):
        os._exit(3)
    return attention(query, key, value, group=group, **options)


def hangs(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    if is_meant(options, group):
        time.sleep(1000)
    return attention(query, key, value, group=group, **options)


def raises(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    if is_meant(options, group):
        raise RuntimeError("no such shard")
    return attention(query, key, value, group=group, **options)


def another_shape(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    return attention(query, key, value, group=group, **options)[:, :, :1]


def writes(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    output = attention(query, key, value, group=group, **options)
    key += 1
    return output


def imports_the_reference(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    if is_meant(options, group):
        import trueband.reference.attention  # noqa: F401
    return attention(query, key, value, group=group, **options)


def tells_its_shard(query: Any, key: Any, value: Any, *, offset: Any, tokens: int, **options: Any) -> Any:
    first = offset if isinstance(offset, tuple) else (offset,)
    places = [query.new_full(query.shape[2:], sum(100**place * token for place, token in enumerate(first)))]
    return torch.stack(places)[None].expand(query.shape).clone()


def on_ranks(function: Any, *features: str, **declared: Any) -> Target:
    return Target(function, features=frozenset(features), **{"ranks": (1, 2, 4), **declared})


right = on_ranks(attention, "empty_shards")
without_empty_shards = on_ranks(attention)
dying, hanging, raising = on_ranks(dies), on_ranks(hangs), on_ranks(raises)
of_another_shape, writing, importing = on_ranks(another_shape), on_ranks(writes), on_ranks(imports_the_reference)
shards = on_ranks(tells_its_shard)
zigzag = on_ranks(tells_its_shard, sharding="zigzag")
