"""The two collectives of sharded attention, with backward passes that are exact.

There is one of each in a call, and the second depends on the first: so the backward passes of all ranks meet in the
same order, whatever gradients are asked for.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trueband.optimized.parallel.shards import Globals, Shards


class Exchange(torch.autograd.Function):
    """Keys and values with those that the window reaches on other ranks, and projections of all global tokens.

    The backward pass sends every gradient of a key or value back to the rank that holds it, which adds them.
    """

    @staticmethod
    def forward(
        ctx: Any, shards: Shards, found: Globals | None, key: Tensor, value: Tensor, query_global: Tensor
    ) -> tuple[Tensor, ...]:
        """Return key (b, k, halo, d) and value (b, k, halo, e); with global tokens also those of local rows, (b, k, g,
        d) and (b, k, g, e), and their queries, (b, h, g, d).
        """
        ctx.shards, ctx.found, ctx.shape = shards, found, (key.shape, query_global.shape)
        width = key.shape[3]
        wide = _with_halo(shards, torch.cat([key, value], dim=3))
        result = (wide[..., :width].contiguous(), wide[..., width:].contiguous())
        if found is None:
            return result
        picked = [found.picked(tensor) for tensor in (key, value, query_global)]
        return (*result, *_sums(shards, picked))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        shards, found = ctx.shards, ctx.found
        of_key, of_query = ctx.shape
        own = _without_halo(shards, torch.cat(gradients[:2], dim=3))
        back = [own[..., : of_key[3]], own[..., of_key[3] :], gradients[0].new_zeros(of_query)]
        if found is not None:
            summed = _sums(shards, gradients[2:])
            for place, gradient in enumerate(summed):
                kept = torch.where(found.own[:, None, :, None], gradient, 0)
                back[place] = back[place] + found.put(torch.zeros_like(back[place]), kept)
        return None, None, *back


class Sum(torch.autograd.Function):
    """The sum over all ranks. Each rank may use a part of it: the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, shards: Shards, tensor: Tensor) -> Tensor:
        ctx.shards = shards
        return _sums(shards, [tensor])[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, _sums(ctx.shards, [gradient])[0]


def highest(shards: Shards, tensor: Tensor) -> Tensor:
    """Return the largest of all ranks, without gradients."""
    found = tensor.detach().clone(memory_format=torch.contiguous_format)
    if len(shards.spans) > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX, group=shards.group)
    return found


def _sums(shards: Shards, tensors: Any) -> list[Tensor]:
    """Return sums over all ranks, in one message."""
    if len(shards.spans) == 1:
        return [tensor.clone() for tensor in tensors]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat, group=shards.group)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _with_halo(shards: Shards, own: Tensor) -> Tensor:
    """Return (b, k, halo, d) of (b, k, own tokens, d)."""
    first, _ = shards.own
    reached, end = shards.needed(shards.rank)
    whole = own.new_empty(*own.shape[:2], end - reached, own.shape[3])
    whole[:, :, first - reached : first - reached + own.shape[2]] = own
    pieces = {}
    for other in range(len(shards.spans)):
        start, stop = shards.sent(shards.rank, other)
        sent = own[:, :, start - first : stop - first].contiguous() if stop > start else None
        start, stop = shards.sent(other, shards.rank)
        pieces[other] = (sent, own.new_empty(*own.shape[:2], stop - start, own.shape[3]) if stop > start else None)
    _swap(shards, pieces)
    for other, (_, received) in pieces.items():
        if received is not None:
            start, stop = shards.sent(other, shards.rank)
            whole[:, :, start - reached : stop - reached] = received
    return whole


def _without_halo(shards: Shards, whole: Tensor) -> Tensor:
    """Return (b, k, own tokens, d) of gradients (b, k, halo, d): the own ones, and what other ranks send back."""
    first, last = shards.own
    reached, _ = shards.needed(shards.rank)
    own = whole[:, :, first - reached : last - reached].clone(memory_format=torch.contiguous_format)
    pieces = {}
    for other in range(len(shards.spans)):
        start, stop = shards.sent(other, shards.rank)
        back = whole[:, :, start - reached : stop - reached].contiguous() if stop > start else None
        start, stop = shards.sent(shards.rank, other)
        pieces[other] = (back, own.new_empty(*own.shape[:2], stop - start, own.shape[3]) if stop > start else None)
    _swap(shards, pieces)
    for other, (_, received) in pieces.items():
        if received is not None:
            start, stop = shards.sent(shards.rank, other)
            own[:, :, start - first : stop - first] += received
    return own


def _swap(shards: Shards, pieces: dict[int, tuple[Tensor | None, Tensor | None]]) -> None:
    """Send to and receive from other ranks, {rank: (sent, received)}; None: nothing."""
    operations = []
    for other, (sent, received) in pieces.items():
        if sent is not None:
            operations.append(dist.P2POp(dist.isend, sent, group=shards.group, group_peer=other))
        if received is not None:
            operations.append(dist.P2POp(dist.irecv, received, group=shards.group, group_peer=other))
    for work in dist.batch_isend_irecv(operations) if operations else ():
        work.wait()
