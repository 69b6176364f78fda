"""Moving a few heads of one row of the batch into the working dtype and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked_block import working_dtype
from trueband.optimized.attention.chunked_plan import Row


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


def by_channel(part: Tensor) -> Tensor:
    """The same keys (c, m, d), stored channel by channel: products with a few queries read them a quarter faster."""
    if part.stride(-2) == 1:
        return part
    count, tokens, channels = part.shape
    return part.new_empty(count, channels, tokens).copy_(part.mT).mT


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
