"""Moving a few heads of one row of the batch into the working dtype and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked_block import Workspace, working_dtype
from trueband.optimized.attention.chunked_plan import Row

COPIED = 2  # blocks' keys that are stored by channel at a time: more are no faster, and more memory


class Unit(NamedTuple):
    """A few heads of one row of the batch."""

    row: Row
    heads: slice


def new_like(tensor: Tensor) -> Tensor:
    """Zeros of the shape of a (b, h, n, d) tensor, stored as (b, n, h, d): what a model's projections look like."""
    batch, heads, tokens, head_dim = tensor.shape
    return tensor.new_zeros(batch, tokens, heads, head_dim).transpose(1, 2)


def unset_like(tensor: Tensor) -> Tensor:
    """The same, not set to anything."""
    batch, heads, tokens, head_dim = tensor.shape
    return tensor.new_empty(batch, tokens, heads, head_dim).transpose(1, 2)


def view(tensor: Tensor, unit: Unit) -> Tensor:
    """The unit's part (c, m, d) of a (b, h, n, d) tensor, shared with it."""
    return tensor[unit.row.index, unit.heads, unit.row.tokens]


def plain(part: Tensor) -> Tensor:
    """The same values in a layout that matrix products take as it is: expanded and transposed parts are copied."""
    return part if part.stride(-1) == 1 and part.stride(-2) >= part.shape[-1] else part.contiguous()


class ByChannel:
    """Keys (c, m, d), stored channel by channel: products with a few queries read them a quarter faster.

    Those of several blocks at a time, in one buffer: all of them would be as much memory as the output, new in every
    call. Blocks are to ask in the order of their keys, for at most `most` of them.
    """

    def __init__(self, part: Tensor, most: int, space: Workspace) -> None:
        self.part, self.ahead, self.space = part, COPIED * most, space
        self.start = self.stop = 0

    def __getitem__(self, keys: slice) -> Tensor:
        if self.part.stride(-2) == 1:
            return self.part[:, keys]
        if keys.stop > self.stop:
            self.start, self.stop = keys.start, min(keys.start + self.ahead, self.part.shape[1])
            count, _, channels = self.part.shape
            copy = self.space.take("keys", count, channels, self.stop - self.start)
            self.copy = copy.copy_(self.part[:, self.start : self.stop].mT).mT
        return self.copy[:, keys.start - self.start : keys.stop - self.start]


def load(tensor: Tensor, unit: Unit) -> Tensor:
    """The unit's part (c, m, d) in the working dtype, 0 in masked tokens. Never to be written to."""
    return plain(load_as_it_lies(tensor, unit))


def load_as_it_lies(tensor: Tensor, unit: Unit) -> Tensor:
    """The same in any layout."""
    part, masked = view(tensor, unit).to(working_dtype(tensor.dtype)), unit.row.masked
    return part if masked is None else part.masked_fill(masked[:, None], 0)


def accumulator(target: Tensor, unit: Unit) -> Tensor:
    """Where to add up gradients (c, m, d) in the working dtype: the target itself if it has that dtype."""
    part = view(target, unit)
    return part if part.dtype == working_dtype(part.dtype) else torch.zeros_like(part, dtype=working_dtype(part.dtype))


def store(part: Tensor, target: Tensor, unit: Unit) -> None:
    """Put a finished accumulator into its target, with exact zeros in masked tokens."""
    if unit.row.masked is not None:
        part.masked_fill_(unit.row.masked[:, None], 0)
    if part.dtype != target.dtype:
        view(target, unit).copy_(part)
