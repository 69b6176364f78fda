"""Moving a few heads of one row of the batch to where the work is done, and back."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from trueband.optimized.attention.chunked.block import working_dtype
from trueband.optimized.attention.chunked.plan import Row
from trueband.optimized.attention.chunked.space import Workspace, lies_on_lines

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


class ByChannel:
    """Keys (c, m, d), stored channel by channel: products with a few queries read them a quarter faster.

    Those of several blocks at a time, in one buffer: all of them would be as much memory as the output, new in every
    call. Blocks are to ask in the order of their keys, for at most `most` of them. A key is as far from a line in the
    buffer as it would be in a tensor of all of them.
    """

    def __init__(self, part: Tensor, most: int, space: Workspace) -> None:
        self.part, self.ahead, self.space = part, COPIED * most, space
        self.start = self.stop = 0
        self.stored_so = lies_on_lines(part.mT)

    def __getitem__(self, keys: slice) -> Tensor:
        if self.stored_so:
            return self.part[:, keys]
        if keys.stop > self.stop:
            self.start = keys.start - keys.start % self.space.per_line
            self.stop = min(keys.start + self.ahead, self.part.shape[1])
            self.copy = self.space.copied("keys by channel", self.part[:, self.start : self.stop].mT).mT
        return self.copy[:, keys.start - self.start : keys.stop - self.start]


def load(name: str, tensor: Tensor, unit: Unit, space: Workspace) -> Tensor:
    """The unit's part (c, m, d) in the working dtype and on lines, 0 in masked tokens. Never to be written to.

    A copy holds until the name is taken again.
    """
    return space.operand(name, view(tensor, unit), unit.row.masked)


def load_as_it_lies(tensor: Tensor, unit: Unit) -> Tensor:
    """The same in any layout, and differentiable; any tensor will do, one without memory too."""
    part, masked = view(tensor, unit).to(working_dtype(tensor.dtype)), unit.row.masked
    return part if masked is None else part.masked_fill(masked[:, None], 0)


def accumulator(name: str, target: Tensor, unit: Unit, space: Workspace) -> Tensor:
    """Return where to add up gradients (c, m, d) in the working dtype and on lines: the target, all 0, if it is so."""
    part = view(target, unit)
    return part if part.dtype == space.dtype and lies_on_lines(part) else space.rows(name, *part.shape).zero_()


def store(part: Tensor, target: Tensor, unit: Unit) -> None:
    """Put a finished accumulator into its target, with exact zeros in masked tokens."""
    if unit.row.masked is not None:
        part.masked_fill_(unit.row.masked[:, None], 0)
    place = view(target, unit)
    if part.data_ptr() != place.data_ptr():
        place.copy_(part)
