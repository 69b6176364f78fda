"""Keys that are not attended: columns of a block of scores, and what is written over them.

They are overwritten, not added to: what such a key holds changes nothing, even when its score overflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


class Stencil:
    """A mask (rows, columns) that is used for many blocks: its elements are overwritten by clamping bits.

    The bits of a number, read as an integer, are clamped to those of the new value where the mask is True, and to all
    integers elsewhere. That is one vectorized operation; `masked_fill_` takes four times as long.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self.limits: dict[tuple[float, torch.dtype], tuple[Tensor, Tensor]] = {}

    def write(self, value: float, table: Tensor) -> None:
        """`table`: (c, rows, columns) of a working dtype."""
        integer = _INTEGERS[table.dtype]
        limits = self.limits.get((value, table.dtype))
        if limits is None:
            bits = int(torch.tensor(value, dtype=table.dtype).view(integer))
            least, most = torch.iinfo(integer).min, torch.iinfo(integer).max
            limits = (torch.where(self.mask, bits, least).to(integer), torch.where(self.mask, bits, most).to(integer))
            self.limits[value, table.dtype] = limits
        seen = table.view(integer)
        torch.clamp(seen, *limits, out=seen)


class Blank(NamedTuple):
    """Some columns of a block; `mask` (rows or 1, columns) is True where they are not attended."""

    columns: slice
    mask: Tensor
    stencil: Stencil | None = None  # of the same mask

    def shifted(self, columns: int) -> Blank:
        """The same with so many columns in front."""
        return self._replace(columns=slice(self.columns.start + columns, self.columns.stop + columns))


Blanks = Sequence[Blank]


def as_one(blanks: Blanks, rows: int, columns: int, device: torch.device) -> Tensor:
    """Join all blanks of a block into one mask (rows, columns)."""
    mask = torch.zeros(rows, columns, dtype=torch.bool, device=device)
    for blank in blanks:
        mask[:, blank.columns] |= blank.mask
    return mask


def fill(table: Tensor, blanks: Blanks, value: float) -> None:
    """Write a value over the blanks of a block (c, rows, columns)."""
    for blank in blanks:
        part = table[..., blank.columns]
        if blank.stencil is None:
            part.masked_fill_(blank.mask, value)
        else:
            blank.stencil.write(value, part)
