"""Places the operands of matrix products: a BLAS treats a row alone as it treats the same row in a batch.

On some processors the last bits of a product depend on the addresses of its operands modulo 16 or 64 bytes, and those
of a caller's tensor on the row of the batch, on the layout, on what was sliced. So an operand is taken as it lies only
if it and each of its rows begin on a line of 64 bytes; all else is copied into buffers that do. (That the first byte
is on a line is not enough: of rows that are no whole lines, one begins on a line by luck and the next does not.)
torch's allocators begin every tensor on a line; how a buffer is laid out follows from the shape of the block alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LINE = 64  # bytes: a line of the cache, and the widest vector register


def lies_on_lines(part: Tensor) -> bool:
    """Return whether every row of (c, m, d) begins on a line, holds neighbors and does not overlap the next.

    Of axes of length 1 too: torch looks at their strides when it chooses a call. One step between heads may be 0.
    """
    size, (head, row, element) = part.element_size(), part.stride()
    aligned = part.data_ptr() % LINE == 0 and head * size % LINE == 0 and row * size % LINE == 0
    return aligned and element == 1 and row >= part.shape[-1]


class Workspace:
    """Buffers that the blocks use in turn, so that they stay in the cache; most blocks have the shape of the last.

    Each holds until its name is taken again, and begins on a line.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.buffers: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Unset elements without gaps."""
        last = self.last.get(name)
        if last is not None and last.shape == shape:
            return last
        size = math.prod(shape)
        buffer = self.buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = self.buffers[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        self.last[name] = buffer[:size].view(shape)
        return self.last[name]

    @property
    def per_line(self) -> int:
        """Elements of a line."""
        return LINE // self.dtype.itemsize

    def rows(self, name: str, *shape: int) -> Tensor:
        """Unset rows (the last axis), each of which begins on a line."""
        *outer, elements = shape
        return self.take(name, *outer, -(-elements // self.per_line) * self.per_line)[..., :elements]

    def copied(self, name: str, part: Tensor, blank: Tensor | None = None) -> Tensor:
        """The values of (c, m, d) in the dtype of the work, on lines; 0 in tokens that are `blank` (m,) bool."""
        copy = self.rows(name, *part.shape).copy_(part)
        return copy if blank is None else copy.masked_fill_(blank[:, None], 0)

    def operand(self, name: str, part: Tensor, blank: Tensor | None = None) -> Tensor:
        """The same, never to be written to: `part` itself where nothing is to be changed and it lies on lines."""
        if blank is None and part.dtype == self.dtype and lies_on_lines(part):
            return part
        return self.copied(name, part, blank)
