"""Band attention of one rank: its rows over its keys and those that its window reaches on other ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.api import band_attention as whole_attention
from trueband.optimized.attention.arguments import check_dilation, check_window
from trueband.optimized.parallel.agreement import check_shard, group_of
from trueband.optimized.parallel.collectives import Exchange, Sum, highest
from trueband.optimized.parallel.shards import Globals, Shards, all_tokens, shards_of

NO_LIMIT = (None, None)


def band_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | tuple[int | None, int | None],
    group: Any = None,
    attention_mask: Tensor | None = None,
    global_attention_mask: Tensor | None = None,
    query_global: Tensor | None = None,
    key_global: Tensor | None = None,
    value_global: Tensor | None = None,
    dilation: int | Sequence[int] = 1,
    causal: bool = False,
    head_mask: Tensor | None = None,
    scale: float | None = None,
    segments: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    return_lse: bool = False,
    impl: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """`trueband.optimized.band_attention` with the tokens over ranks: every rank of the group calls it, with its shard.

    Shards are contiguous, in the order of the ranks, of any lengths; a rank may have no token. A rank receives the keys
    and values that its window reaches on other ranks, from as many of them as it spans, and the projections of global
    tokens. Its memory grows with its tokens, its window and the global tokens, and, by a byte for each token, with the
    sequence. A window without a limit receives all keys of that side.

    Args:
        query, key, value: (b, h, m, d), (b, k, m, d), (b, k, m, e), the m tokens of this rank.
        window, dilation, causal, scale, softcap, impl: as of `trueband.optimized.band_attention`, the same on all
            ranks.
        group: a process group of torch.distributed, a `DeviceMesh` of one dimension, or None: the default group.
        attention_mask, global_attention_mask, segments: (b, m), of this rank; every rank passes them or none does.
        query_global, key_global, value_global: of the shapes of query, key and value.
        head_mask, sinks, slopes: (h,), the same on all ranks. A rank's gradient is what its own rows give: sum over
            the ranks, as DDP does of any weight.
        return_lse: return lse (b, h, m), too.

    Returns:
        (b, h, m, e) of the rows of this rank; with `return_lse` also their lse.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    group = group_of(group)
    masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
    far = {
        "query_global": (query_global, query),
        "key_global": (key_global, key),
        "value_global": (value_global, value),
    }
    of_heads = {"head_mask": head_mask, "sinks": sinks, "slopes": slopes}
    check_shard(query, key, value, far, masks, segments, of_heads)
    left, right = check_window(window)
    right = 0 if causal else right
    step = max(check_dilation(dilation, query.shape[1]))
    reach = (None if left is None else left * step, None if right is None else right * step)
    passed = {**masks, "segments": segments, **{name: tensor for name, (tensor, _) in far.items()}, **of_heads}
    alike = {
        "window": window,
        "dilation": dilation,
        "causal": causal,
        "scale": scale,
        "softcap": softcap,
        "return_lse": return_lse,
        "dtype": str(query.dtype),
        "batch, heads and dims": (query.shape[:2], query.shape[3], key.shape[1], value.shape[3]),
    }
    given = {name: tensor is not None for name, tensor in passed.items()}
    shards = shards_of(query.shape[2], group, *reach, query.device, given, alike)
    real = _everywhere(attention_mask, shards)
    flags = None
    if global_attention_mask is not None:
        flags = all_tokens(global_attention_mask, shards)
        flags = flags if real is None else flags & real
    found = None if flags is None else Globals.of(flags, shards)
    if found is not None:
        _check_without_globals(causal, segments, sinks, slopes)
    options = {"scale": scale, "softcap": softcap, "impl": impl}
    far_query = query if query_global is None else query_global
    exchanged = Exchange.apply(shards, found, key, value, far_query)
    if found is None:
        near = {"sinks": sinks, "slopes": slopes, "window": window, "dilation": dilation, "causal": causal, **options}
        seen = None if segments is None else _within(all_tokens(segments, shards), shards)
        output, lse = _own_rows(
            shards, query, exchanged[0], exchanged[1], real, {"segments": seen, "head_mask": head_mask, **near}
        )
    else:
        assert flags is not None
        near = {"window": window, "dilation": dilation, **options}
        kept = ~flags if real is None else real & ~flags
        keys = (key if key_global is None else key_global, value if value_global is None else value_global)
        output, lse = _with_globals(shards, found, query, keys, exchanged, kept, real, near, options, head_mask)
    return (output, lse) if return_lse else output


def _own_rows(
    shards: Shards, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return output and lse of the rows of this rank over the keys with their halo."""
    if not query.shape[2]:
        return _nothing(query, key, value)
    mask = None if real is None else _within(real, shards)
    return whole_attention(query, key, value, attention_mask=mask, offset=shards.before, return_lse=True, **options)


def _with_globals(
    shards: Shards,
    found: Globals,
    query: Tensor,
    global_keys: tuple[Tensor, Tensor],
    exchanged: tuple[Tensor, ...],
    kept: Tensor,
    real: Tensor | None,
    near: dict[str, Any],
    options: dict[str, Any],
    head_mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return output and lse where there are global tokens.

    Local rows attend their band without global keys, and all global keys; the two parts are merged by their lse. Rows
    of global tokens attend the keys of each rank there, and these parts are merged over the ranks.

    Args:
        kept: (b, n) bool, tokens that are real and not global.
    """
    dtype = query.dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    query, *exchanged_wide = (tensor.to(wide) for tensor in (query, *exchanged))
    key, value, key_of_globals, value_of_globals, far_query = exchanged_wide
    far_keys = [tensor.to(wide) for tensor in global_keys]
    first, last = shards.own
    query = torch.where(kept[:, None, first:last, None], query, 0)  # what other rows hold is read by none of them
    output, lse = _own_rows(shards, query, key, value, kept, near)
    if query.shape[2]:
        beyond = whole_attention(  # queries that stand behind the last key see all of them, and none is masked
            query, key_of_globals, value_of_globals, window=NO_LIMIT, attention_mask=found.there,
            offset=found.there.shape[1], return_lse=True, **options,
        )  # fmt: skip
        output, lse = _merged(output, lse, *beyond)
    else:
        output = output + (key_of_globals.sum() + value_of_globals.sum()) * 0
    far, far_lse = _global_rows(shards, found, far_query, far_keys, real, options)
    output, lse = found.put(output, far), found.put(lse, far_lse)
    if head_mask is not None:
        output = output * head_mask.to(wide)[:, None, None]
    if real is not None:
        rows = real[:, None, first:last]
        output, lse = torch.where(rows[..., None], output, 0), torch.where(rows, lse, -math.inf)
    return output.to(dtype), lse


def _global_rows(
    shards: Shards, found: Globals, query: Tensor, keys: list[Tensor], real: Tensor | None, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return output (b, h, g, e) and lse (b, h, g) of the rows of all global tokens over the keys of all ranks."""
    key, value = keys
    if key.shape[2]:
        first, last = shards.own
        mask = None if real is None else real[:, first:last]
        part, lse = whole_attention(
            query, key, value, window=NO_LIMIT, attention_mask=mask, offset=key.shape[2], return_lse=True, **options
        )
    else:
        part, lse = _nothing(query, key, value)
        part = query.new_zeros(*query.shape[:3], value.shape[3]) + part.sum() + query.sum() * 0
        lse = query.new_full(query.shape[:3], -math.inf)
    top = highest(shards, lse)
    top = torch.where(torch.isfinite(top), top, 0)
    weight = torch.exp(lse - top)
    summed = Sum.apply(shards, torch.cat([part * weight[..., None], weight[..., None]], dim=3))
    total = summed[..., -1:]
    some = total > 0
    safe = torch.where(some, total, 1)
    output = torch.where(some, summed[..., :-1] / safe, 0)
    return output, torch.where(some[..., 0], top + torch.log(safe[..., 0]), -math.inf)


def _merged(one: Tensor, of_one: Tensor, other: Tensor, of_other: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and lse of rows over two sets of keys, of those over each of them."""
    top = torch.maximum(of_one, of_other).detach()
    top = torch.where(torch.isfinite(top), top, 0)
    first, second = torch.exp(of_one - top), torch.exp(of_other - top)
    total = first + second
    some = total > 0
    safe = torch.where(some, total, 1)
    output = (one * first[..., None] + other * second[..., None]) / safe[..., None]
    return output, torch.where(some, top + torch.log(safe), -math.inf)


def _nothing(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and lse of no row. They depend on what was exchanged, for the backward pass to meet the others'."""
    zero = (key.sum() + value.sum()) * 0
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    return query.new_zeros(*query.shape[:2], 0, value.shape[3]) + zero, (query.sum(dim=3) + zero)[:, :, :0].to(wide)


def _everywhere(mask: Tensor | None, shards: Shards) -> Tensor | None:
    return None if mask is None else all_tokens(mask, shards)


def _within(tokens: Tensor, shards: Shards) -> Tensor:
    """Return what the keys with their halo have, of (b, n)."""
    first, last = shards.needed(shards.rank)
    return tokens[:, first:last].contiguous()


def _check_without_globals(causal: bool, segments: Tensor | None, sinks: Tensor | None, slopes: Tensor | None) -> None:
    """Refuse what is not defined together with a global token."""
    given = {"causal": causal or None, "segments": segments, "sinks": sinks, "slopes": slopes}
    for name, what in given.items():
        if what is not None:
            raise ValueError(f"{name}: expected none with a global token (global_attention_mask), got both")
