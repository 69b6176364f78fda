"""Who has read and written what, in one launch: conflicts between programs.

A GPU runs the programs of a launch in any order, and at once; the interpreter runs one after the other, and is blind.
Two accesses of one element by two programs are a race if one of them writes and nothing orders them. What orders them
is an atomic operation: all that a program did before one that releases is done before what another program does after
one that acquires, if both are of the same address and came in this order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.paged import Paged

Clocks = NDArray[np.int32]
Units = NDArray[np.int64]
NOBODY, MANY = -1, -2


class Clash(NamedTuple):
    """An access in conflict: lanes of it that are, and the number of the earlier access (MANY: of several)."""

    lanes: NDArray[np.bool_]
    earlier: int
    earlier_wrote: bool


class Order:
    """The accesses of a launch in the order in which they were made, and what atomics order."""

    def __init__(self) -> None:
        self.count = 0
        self.programs = np.zeros(1024, dtype=np.int32)
        self.atomics = np.zeros(1024, dtype=bool)
        self.places: list[Any] = []
        # Vector clocks, {program: its last access that is known to be over}: of each program, and of each address.
        self._known: dict[int, dict[int, int]] = {}
        self._released: dict[int, dict[int, int]] = {}

    def add(self, program: int, place: Any, atomic: bool) -> int:
        """Number of a new access."""
        if self.count == len(self.programs):
            self.programs, self.atomics = (np.concatenate([array, array]) for array in (self.programs, self.atomics))
        self.programs[self.count], self.atomics[self.count] = program, atomic
        self.places.append(place)
        self.count += 1
        return self.count - 1

    def synchronize(self, clock: int, addresses: list[int], acquires: bool, releases: bool) -> None:
        """The access is of an atomic operation on these addresses."""
        program = int(self.programs[clock])
        known = self._known.setdefault(program, {})
        for address in addresses:
            released = self._released.setdefault(address, {})
            if acquires:
                _join(known, released)
            if releases:
                _join(released, {**known, program: clock})

    def is_before(self, earlier: int, program: int) -> bool:
        """Return whether atomics order an access before whatever the program does from now on."""
        known = self._known.get(program, {})
        if earlier == MANY:  # which they were is not kept: the benefit of the doubt
            return bool(known)
        return known.get(int(self.programs[earlier]), -1) > earlier

    def unordered(self, earlier: Clocks, program: int) -> NDArray[np.bool_]:
        """Mark the earlier accesses by other programs that nothing orders before this one."""
        race = (earlier == MANY) | ((earlier >= 0) & (self.programs[earlier] != program))
        if race.any() and program in self._known:
            for clock in np.unique(earlier[race]):
                if self.is_before(int(clock), program):
                    race &= earlier != clock
        return race


def _join(known: dict[int, int], other: dict[int, int]) -> None:
    """Add to a vector clock what another one knows."""
    for program, clock in other.items():
        known[program] = max(clock, known.get(program, -1))


class Conflicts:
    """The last accesses of each unit of a storage. A unit is as small as the smallest access."""

    def __init__(self, size: int, item: int) -> None:
        self._size, self._unit = size, item
        self._last: Paged | None = None  # of two rows: the last that reads, the last that writes

    def read(self, starts: Units, size: int, clock: int, order: Order) -> Clash | None:
        """`size` bytes are read at each of these bytes of the storage."""
        (readers, writers), units, lanes = self._units(starts, size)
        clash = _clash(writers[units], lanes, clock, order, True)
        alone = ~order.unordered(readers[units], int(order.programs[clock]))
        readers[units] = np.where(alone, clock, MANY)
        return clash

    def write(self, starts: Units, size: int, clock: int, order: Order) -> Clash | None:
        """The same for a store, or an atomic operation."""
        (readers, writers), units, lanes = self._units(starts, size)
        clash = _clash(writers[units], lanes, clock, order, True)
        clash = clash or _clash(readers[units], lanes, clock, order, False)
        writers[units] = clock
        return clash

    def _units(self, starts: Units, size: int) -> tuple[Clocks, Units, Units]:
        """The last accesses, the units of these, and the lane of each."""
        if self._last is None:
            self._unit = min(size, self._unit)
            self._last = Paged(-(-self._size // self._unit), np.full(2, NOBODY, dtype=np.int32))
        elif size < self._unit:
            self._last.split(self._unit // size)
            self._unit = size
        count = -(-size // self._unit)
        units = (starts // self._unit)[:, None] + np.arange(count)
        places = self._last.places(units.ravel())
        return self._last.data, places, np.repeat(np.arange(len(starts)), count)


def _clash(earlier: Clocks, lanes: Units, clock: int, order: Order, wrote: bool) -> Clash | None:
    """The conflict of an access with earlier ones; atomic operations have none with each other."""
    race = order.unordered(earlier, int(order.programs[clock]))
    if wrote and order.atomics[clock]:
        race &= ~((earlier >= 0) & order.atomics[earlier])
    if not race.any():
        return None
    concerned = np.zeros(int(lanes.max()) + 1, dtype=bool)
    concerned[lanes[race]] = True
    return Clash(concerned, int(earlier[race][0]), wrote)
