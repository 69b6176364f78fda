"""Global memory: the arrays of a launch, each byte with what is known of it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.findings import refuse

BASE = 0x7F_0000_0000_00
_GUARD = 4096
_PAGE = 256  # addresses keep their remainder by it, and so their alignment
_NOBODY, _SEVERAL = -1, -2


@dataclass
class Region:
    """Bytes of the process, from `start` to `stop`, as the arrays of a launch lie in it."""

    start: int
    stop: int
    offset: int = 0
    bytes: Any = field(default=None, repr=False)


class GlobalMemory:
    """Copies of the arrays of a launch, put back by `back`. Arrays that overlap are one piece of memory, as they are.

    Args:
        arrays: views of any strides. Only what they hold may be used, not what lies between.
        written: for each, (elements,) bool in C order, which of them hold something; None: all.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], written: Sequence[NDArray[np.bool_] | None]) -> None:
        self._regions = _merged([_extent(array) for array in arrays])
        offset = _GUARD
        for region in self._regions:
            offset += (region.start - offset) % _PAGE
            region.offset = offset
            size = region.stop - region.start
            region.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(region.start))
            offset += size + _GUARD
        self.size = offset
        self.bytes = np.full(offset, 0xAB, np.uint8)
        self.valid, self.written = np.zeros(offset, bool), np.zeros(offset, bool)
        self.stored = np.zeros(offset, bool)
        self._writer, self._reader = (np.full(offset, _NOBODY, np.int32) for _ in range(2))
        for region in self._regions:
            self.bytes[region.offset : region.offset + len(region.bytes)] = region.bytes
        for array, known in zip(arrays, written, strict=True):
            self.valid[self.places(array)] = True
            if known is None:
                self.written[self.places(array)] = True
        for array, known in zip(arrays, written, strict=True):
            if known is not None:
                self.written[self.places(array)] |= np.repeat(known, array.itemsize)
        self._arrays = arrays

    def address(self, array: NDArray[Any]) -> int:
        """The address of the first element."""
        return BASE + self._offset(array)

    def places(self, array: NDArray[Any]) -> NDArray[np.int64]:
        """(elements * itemsize,) where the bytes of an array are, in C order."""
        at = np.zeros((), np.int64)
        for size, stride in zip(array.shape, array.strides, strict=True):
            at = at[..., None] + np.arange(size) * stride
        numbers: NDArray[np.int64] = (at.reshape(-1, 1) + np.arange(array.itemsize)).reshape(-1) + self._offset(array)
        return numbers

    def _offset(self, array: NDArray[Any]) -> int:
        start = array.ctypes.data
        for region in self._regions:
            if region.start <= start < region.stop or (region.start == start and not array.size):
                return start - region.start + region.offset
        return _GUARD // 2  # an empty array: no byte of it is valid

    def distinct_bytes(self) -> int:
        """The numbers of distinct bytes that were loaded, and that were stored."""
        return int((self._reader != _NOBODY).sum() + self.stored.sum())

    def back(self) -> None:
        """Put what was stored into the arrays of the process."""
        for region in self._regions:
            inside = slice(region.offset, region.offset + len(region.bytes))
            np.copyto(region.bytes, self.bytes[inside], where=self.stored[inside])

    def load(
        self, addresses: NDArray[np.int64], size: int, lanes: NDArray[np.int64], blocks: NDArray[np.int32]
    ) -> NDArray[np.uint8]:
        """(k, size) bytes at (k,) addresses, of the lanes and blocks that load them."""
        at = self._check("load", addresses, size, lanes)
        refuse("global uninitialized", ~self.written[at], lanes, f"{size} bytes are loaded that nothing wrote")
        writer = self._writer[at]
        others = (writer != _NOBODY) & (writer != blocks[:, None])
        refuse("global race", others, lanes, f"{size} bytes are loaded that another block stores")
        reader = self._reader[at]
        several = (reader != _NOBODY) & (reader != blocks[:, None])
        self._reader[at] = np.where(several, _SEVERAL, blocks[:, None])
        # Blocks that load the same bytes at the same time: the last assignment wins, so that it is looked at again.
        clash = self._reader[at] != blocks[:, None]
        self._reader[at[clash]] = _SEVERAL
        return self.bytes[at]

    def store(
        self, addresses: NDArray[np.int64], data: NDArray[np.uint8], lanes: NDArray[np.int64], blocks: NDArray[np.int32]
    ) -> None:
        """Store (k, size) bytes at (k,) addresses."""
        size = data.shape[1]
        at = self._check("store", addresses, size, lanes)
        for owner, what in ((self._writer, "stores"), (self._reader, "loads")):
            known = owner[at]
            others = (known != _NOBODY) & (known != blocks[:, None])
            refuse("global race", others, lanes, f"{size} bytes are stored that another block {what}")
        self._writer[at] = blocks[:, None]
        refuse("global race", self._writer[at] != blocks[:, None], lanes, f"two blocks store the same {size} bytes")
        self.bytes[at] = data
        self.written[at] = True
        self.stored[at] = True

    def _check(self, what: str, addresses: NDArray[np.int64], size: int, lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        """(k, size) places of the bytes."""
        first = addresses - BASE
        outside = (first < 0) | (first + size > self.size)
        at: NDArray[np.int64] = np.where(outside, 0, first)[:, None] + np.arange(size)  # 0 is in no array
        refuse("global bounds", ~self.valid[at], lanes, f"{what} of {size} bytes out of bounds")
        refuse(
            "global alignment",
            addresses % size != 0,
            lanes,
            f"{what} of {size} bytes at an address that is not aligned",
        )
        return at


def _extent(array: NDArray[Any]) -> Region:
    """The bytes between an array's first and last."""
    if not array.size:
        return Region(array.ctypes.data, array.ctypes.data)
    low = sum(min(0, (size - 1) * stride) for size, stride in zip(array.shape, array.strides, strict=True))
    high = sum(max(0, (size - 1) * stride) for size, stride in zip(array.shape, array.strides, strict=True))
    return Region(array.ctypes.data + low, array.ctypes.data + high + array.itemsize)


def _merged(regions: list[Region]) -> list[Region]:
    """Regions that do not overlap, in order."""
    merged: list[Region] = []
    for region in sorted(regions, key=lambda item: item.start):
        if region.start == region.stop:
            continue
        if merged and region.start < merged[-1].stop:
            merged[-1].stop = max(merged[-1].stop, region.stop)
        else:
            merged.append(Region(region.start, region.stop))
    return merged
