"""A tensor that is handed to a launch, and the addresses by which its accesses are known.

Tensors lie anywhere in memory: what is beyond the end of one may be inside of another. The kernel is therefore given an
address with the number of the argument in its highest bits, which no offset of a sane size changes: every access shows
which argument it was computed from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.memory import Memory

Integers = NDArray[np.int64]

TAG_SHIFT = 48  # addresses of processes have fewer bits
REAL = np.uint64((1 << TAG_SHIFT) - 1)


class Argument:
    """One tensor of a launch.

    Attributes:
        name: the name of the kernel's argument. dtype, shape, strides: those of the tensor, strides in elements.
        item: bytes of an element.
        tagged: the address that the kernel is given.
        memory: the storage that it lies in.
        start: its first byte there.
    """

    def __init__(self, name: str, tensor: Any, number: int, memory: Memory) -> None:
        self.name, self.memory = name, memory
        self.dtype = str(tensor.dtype).removeprefix("torch.")
        self.shape, self.strides = tuple(tensor.shape), tuple(tensor.stride())
        self.item = tensor.element_size()
        address = tensor.data_ptr()
        self.tagged = (number << TAG_SHIFT) + address
        self.start = address - memory.address
        # Axes that distinguish elements, the widest stride first.
        axes = [axis for axis, size in enumerate(self.shape) if size > 1 and self.strides[axis] > 0]
        self._axes = sorted(axes, key=lambda axis: -self.strides[axis])
        self._extent = 1 + sum((self.shape[axis] - 1) * self.strides[axis] for axis in axes)
        if 0 in self.shape:
            self._extent = 0
        elements = int(np.prod([self.shape[axis] for axis in axes])) if self._extent else 0
        self._dense = elements == self._extent and self._disjoint()

    def contains(self, offsets: Integers, size: int) -> NDArray[np.bool_]:
        """Whether `size` bytes at each offset, in bytes from the first element, lie in elements of the tensor."""
        first, last = offsets // self.item, (offsets + size - 1) // self.item
        inside = (first >= 0) & (last < self._extent)
        if self._dense or not self._disjoint():
            return inside
        return inside & self._is_element(first) & self._is_element(last)

    def index(self, offset: int) -> tuple[int, ...]:
        """The index of the element at an offset in bytes; the axis of the widest stride takes what is out of bounds."""
        position, index = offset // self.item, [0] * len(self.shape)
        for axis in self._axes:
            index[axis], position = divmod(position, self.strides[axis])
        if index and position:  # no axis separates one element from another, or there is a gap between rows
            last = self._axes[-1] if self._axes else len(self.shape) - 1
            index[last] += position
        return tuple(index) if index else (position,)

    def unwrapped(self, offset: int) -> tuple[int, ...] | None:
        """The element that an offset in bytes misses by 2^32 elements, as one does that has wrapped, if any."""
        meant = offset + (self.item << 32)
        return self.index(meant) if self.contains(np.array([meant]), self.item).all() else None

    def _is_element(self, positions: Integers) -> NDArray[np.bool_]:
        inside, rest = np.ones(positions.shape, dtype=bool), positions
        for axis in self._axes:
            coordinate, rest = np.divmod(rest, self.strides[axis])
            inside &= coordinate < self.shape[axis]
        return inside & (rest == 0)

    def _disjoint(self) -> bool:
        """Whether every element has a place of its own. If not, all between the first and the last are elements."""
        extent = 1
        for axis in reversed(self._axes):
            if self.strides[axis] < extent:
                return False
            extent += (self.shape[axis] - 1) * self.strides[axis]
        return True
