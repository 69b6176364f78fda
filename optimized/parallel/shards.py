"""Which tokens each rank holds, which keys of others it needs, and where global tokens are."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Span = tuple[int, int]  # first token, and the one after the last


@dataclass(frozen=True)
class Shards:
    """Contiguous shards of a sequence, one for each rank of a group; some may be empty.

    Attributes:
        group: of torch.distributed.
        rank: of this process in the group.
        spans: tokens of each rank.
        left, right: how many tokens a row sees to each side; None: all.
    """

    group: Any
    rank: int
    spans: tuple[Span, ...]
    left: int | None
    right: int | None

    @property
    def own(self) -> Span:
        return self.spans[self.rank]

    @property
    def tokens(self) -> int:
        return self.spans[-1][1]

    def needed(self, rank: int) -> Span:
        """Return the tokens whose keys a rank needs: its own, and those that its window reaches."""
        first, last = self.spans[rank]
        if first == last:
            return first, last
        reached = 0 if self.left is None else max(first - self.left, 0)
        return reached, self.tokens if self.right is None else min(last + self.right, self.tokens)

    def sent(self, source: int, target: int) -> Span:
        """Return the tokens of one rank that another needs; an empty span for none, or its own."""
        if source == target:
            return 0, 0
        (first, last), (reached, end) = self.spans[source], self.needed(target)
        start, stop = max(first, reached), min(last, end)
        return (start, stop) if start < stop else (0, 0)

    @cached_property
    def before(self) -> int:
        """How many keys of others stand before the own ones."""
        return self.own[0] - self.needed(self.rank)[0]


def shards_of(
    tokens: int,
    group: Any,
    left: int | None,
    right: int | None,
    device: torch.device,
    given: Mapping[str, bool] | None = None,
    alike: Mapping[str, Any] | None = None,
) -> Shards:
    """Return the shards of a sequence of which this rank holds so many tokens. Every rank of the group calls this.

    Args:
        given: which arguments this rank was passed, of those that all ranks or none must pass.
        alike: what all ranks must have alike.

    Raises:
        ValueError: an argument that some ranks were passed and others were not, or something that is not alike; on
            every rank, so that nobody waits for the others.
    """
    given, alike = given or {}, alike or {}
    digests = [zlib.crc32(repr(value).encode()) for value in alike.values()]
    own = torch.tensor([tokens, *map(int, given.values()), *digests], device=device)
    told = [own] if dist.get_world_size(group) == 1 else [torch.zeros_like(own) for _ in _ranks_of(group)]
    if len(told) > 1:
        dist.all_gather(told, own, group=group)
    counts, *passed = torch.stack(told).T.tolist()
    for name, each in zip(alike, passed[len(given) :], strict=True):
        if len(set(each)) > 1:
            raise ValueError(f"{name}: expected the same on every rank, got {alike[name]!r} here and another elsewhere")
    for name, each in zip(given, passed, strict=False):
        if len(set(each)) > 1:
            ranks = [rank for rank, there in enumerate(each) if there]
            raise ValueError(f"{name}: expected one on every rank or on none, got one on the ranks {ranks}")
    ends = torch.tensor([0, *counts]).cumsum(0).tolist()
    return Shards(group, dist.get_rank(group), tuple(itertools.pairwise(ends)), left, right)


def _ranks_of(group: Any) -> range:
    return range(dist.get_world_size(group))


def all_tokens(own: Tensor, shards: Shards) -> Tensor:
    """Return what all ranks hold, (b, n), of a mask or of segments (b, own tokens)."""
    if len(shards.spans) == 1:
        return own
    longest = max(last - first for first, last in shards.spans)
    kind = torch.uint8 if own.dtype == torch.bool else own.dtype
    padded = torch.zeros(len(own), longest, dtype=kind, device=own.device)
    padded[:, : own.shape[1]] = own
    gathered = [torch.zeros_like(padded) for _ in shards.spans]
    dist.all_gather(gathered, padded, group=shards.group)
    parts = [part[:, : last - first] for part, (first, last) in zip(gathered, shards.spans, strict=True)]
    return torch.cat(parts, dim=1).to(own.dtype)


@dataclass(frozen=True)
class Globals:
    """The global tokens of all ranks.

    Attributes:
        places: (b, g) int64, their tokens; any token where a row of the batch has fewer.
        there: (b, g) bool, where there is one.
        first, last: the tokens of this rank.
    """

    places: Tensor
    there: Tensor
    first: int
    last: int

    @classmethod
    def of(cls, flags: Tensor, shards: Shards) -> Globals | None:
        """Of the flags of all tokens, (b, n) bool; None without a global token."""
        most = int(flags.sum(dim=1).max())
        if not most:
            return None
        order = torch.argsort(flags.to(torch.int8), dim=1, descending=True, stable=True)[:, :most]
        return cls(order, flags.gather(1, order), *shards.own)

    @property
    def own(self) -> Tensor:
        """(b, g) bool: which of them this rank holds."""
        return self.there & (self.places >= self.first) & (self.places < self.last)

    def picked(self, tensor: Tensor) -> Tensor:
        """Return (b, h, g, d) of (b, h, own tokens, d): those of this rank, 0 for all others."""
        if not tensor.shape[2]:
            return tensor.new_zeros(*tensor.shape[:2], self.places.shape[1], tensor.shape[3])
        at = (self.places - self.first).clamp(0, tensor.shape[2] - 1)[:, None, :, None]
        found = tensor.gather(2, at.expand(-1, tensor.shape[1], -1, tensor.shape[3]))
        return torch.where(self.own[:, None, :, None], found, 0)

    def put(self, tensor: Tensor, of: Tensor) -> Tensor:
        """Return `tensor` (b, h, own tokens, ...) with what `of` (b, h, g, ...) has for this rank's global tokens."""
        if not tensor.shape[2]:
            return tensor + of.sum() * 0  # no number, but its backward pass meets that of the other ranks
        size = tensor.shape[2]
        at = torch.where(self.own, self.places - self.first, size)  # those of other ranks go to a token that is cut off
        longer = torch.cat([tensor, torch.zeros_like(tensor[:, :, :1])], dim=2)
        index = at.view(len(at), 1, -1, *[1] * (tensor.dim() - 3)).expand(-1, tensor.shape[1], -1, *tensor.shape[3:])
        return longer.scatter(2, index, of)[:, :, :size]
