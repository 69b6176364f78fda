"""Memory that was allocated and never written.

torch.empty and its kin are watched. What they give is filled with a pattern that no computation gives (NaN of an odd
payload; odd integers): an element counts as written as soon as it holds something else, or a kernel has stored into it.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.lazy import fill, lazily_filled
from trueband.properties.gpu.sanitizer.paged import Paged

# Of torch, and of its tensors.
FUNCTIONS = ("empty", "empty_like", "empty_strided", "empty_permuted")
METHODS = ("new_empty", "new_empty_strided")

_FLOATS = {1: 0x7F, 2: 0x7EED, 4: 0x7FEDFEED, 8: 0x7FFDFEED7FEDFEED}
_BFLOAT16 = 0x7FED
_INTEGERS = {1: 0xAD, 2: 0xADDE, 4: 0xADDEADDE, 8: 0xADDEADDEADDEADDE}


class Fresh:
    """A storage that torch.empty gave, in units of its elements (of 8 bytes, if an element has more)."""

    def __init__(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        self.unit = min(tensor.element_size(), 8)
        self._pattern = _pattern(tensor, self.unit)
        self._version = _version(tensor)
        self._units = storage.nbytes() // self.unit
        self._memory = at(storage.data_ptr(), self._units * self.unit).view(f"u{self.unit}")
        self._unwritten = Paged(self._units, np.ones(1, dtype=bool), self._compare)
        self._all_written = False
        if not fill(storage.data_ptr(), storage.nbytes(), self._pattern.to_bytes(self.unit, sys.byteorder)):
            self._memory[:] = self._pattern

    def refresh(self, tensor: Any) -> None:
        """Find out what torch has written meanwhile. `tensor`: one that lies in this memory."""
        if self.unit == 1 and _version(tensor) != self._version:
            self._all_written = True  # a byte has too few values for one that nobody writes
        self._memory = at(tensor.untyped_storage().data_ptr(), self._units * self.unit).view(f"u{self.unit}")
        for first, page in self._unwritten.existing():
            self._compare(first, page)

    def first_unwritten(self, starts: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
        """Mark the accesses of `size` bytes, at these bytes of the storage, that read something unwritten."""
        unwritten = np.zeros(starts.shape, dtype=bool)
        if not self._all_written:
            for place in _spread(size, self.unit):
                places = self._unwritten.places(np.minimum((starts + place) // self.unit, self._units - 1))
                unwritten |= self._unwritten.data[0, places]
        return unwritten

    def write(self, starts: NDArray[np.int64], size: int) -> None:
        """A kernel stores `size` bytes at each of these bytes of the storage."""
        for place in _spread(size, self.unit):
            places = self._unwritten.places(np.minimum((starts + place) // self.unit, self._units - 1))
            self._unwritten.data[0, places] = False

    def _compare(self, first: int, page: NDArray[Any]) -> None:
        """Compare a page from the unit `first` on: what differs from the pattern has been written."""
        there = self._memory[first : first + page.shape[1]]
        page[0, : len(there)] &= there == self._pattern


class FreshMemory:
    """The memory that torch.empty gave while `watched`, as long as it exists."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Fresh]] = {}

    def of(self, tensor: Any) -> Fresh | None:
        """Return what is known of a tensor's storage."""
        storage = tensor.untyped_storage()
        entry = self._known.get(storage.data_ptr())
        return entry[1] if entry is not None and entry[0]() is storage else None

    def track(self, tensor: Any) -> None:
        """A tensor that torch has just allocated."""
        import torch

        if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        if storage.nbytes():
            self._known = {address: entry for address, entry in self._known.items() if entry[0]() is not None}
            self._known[storage.data_ptr()] = weakref.ref(storage), Fresh(tensor)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, what torch allocates without writing it is tracked, and what is large is filled lazily."""
        import torch

        places = [(torch, name) for name in FUNCTIONS] + [(torch.Tensor, name) for name in METHODS]
        replaced = {**{attribute: self._tracking(getattr(*attribute)) for attribute in places}, **lazily_filled(torch)}
        before = [(place, name, getattr(place, name)) for place, name in replaced]
        for (place, name), function in replaced.items():
            setattr(place, name, function)
        try:
            yield
        finally:
            for place, name, function in before:
                setattr(place, name, function)

    def _tracking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def allocate(*args: Any, **kwargs: Any) -> Any:
            tensor = function(*args, **kwargs)
            if kwargs.get("out") is None:
                self.track(tensor)
            return tensor

        return allocate


def at(address: int, size: int) -> NDArray[np.uint8]:
    """The bytes at an address, not a copy."""
    if size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _pattern(tensor: Any, unit: int) -> int:
    if str(tensor.dtype) == "torch.bfloat16":
        return _BFLOAT16
    if tensor.is_complex() and unit == 8 and tensor.element_size() == 8:
        return (_FLOATS[4] << 32) + _FLOATS[4]
    return (_FLOATS if tensor.is_floating_point() or tensor.is_complex() else _INTEGERS)[unit]


def _version(tensor: Any) -> int:
    """Changes with every write of torch; -1 where torch does not count."""
    return -1 if tensor.is_inference() else int(tensor._version)


def _spread(size: int, unit: int) -> list[int]:
    """Bytes of an access that touch all its units, wherever it starts."""
    return [*range(0, size, unit), size - 1] if size > unit else [0]
