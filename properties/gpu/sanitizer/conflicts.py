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
        self._released: dict[int, dict[int, int]] = {}  # program: {address: its last release}
        self._acquired: dict[int, set[int]] = {}  # program: addresses

    def add(self, program: int, place: Any, atomic: bool) -> int:
        """Number of a new access."""
        if self.count == len(self.programs):
            self.programs, self.atomics = (np.concatenate([each, each]) for each in (self.programs, self.atomics))
        self.programs[self.count], self.atomics[self.count] = program, atomic
        self.places.append(place)
        self.count += 1
        return self.count - 1

    def synchronize(self, clock: int, addresses: list[int], acquires: bool, releases: bool) -> None:
        """The access is of an atomic operation on these addresses."""
        program = int(self.programs[clock])
        if releases:
            self._released.setdefault(program, {}).update(dict.fromkeys(addresses, clock))
        if acquires:
            self._acquired.setdefault(program, set()).update(addresses)

    def is_before(self, earlier: int, program: int) -> bool:
        """Whether atomics order an access before whatever the program does from now on."""
        acquired = self._acquired.get(program)
        if not acquired:
            return False
        if earlier == MANY:  # which they were is not kept: the benefit of the doubt
            return True
        released = self._released.get(int(self.programs[earlier]), {})
        return any(released.get(address, -1) > earlier for address in acquired)

    def unordered(self, earlier: Clocks, program: int) -> NDArray[np.bool_]:
        """Which of earlier accesses are of other programs, and not before this one."""
        found = (earlier == MANY) | ((earlier >= 0) & (self.programs[earlier] != program))
        if found.any() and program in self._acquired:
            for clock in np.unique(earlier[found]):
                if self.is_before(int(clock), program):
                    found &= earlier != clock
        return found


class Conflicts:
    """The last accesses of each unit of a storage. A unit is as small as the smallest access."""

    def __init__(self, size: int, item: int) -> None:
        self._size, self._unit = size, item
        self._writers: Clocks | None = None
        self._readers: Clocks | None = None

    def read(self, starts: Units, size: int, clock: int, order: Order) -> Clash | None:
        """`size` bytes are read at each of these bytes of the storage."""
        units, lanes = self._units(starts, size)
        assert self._writers is not None and self._readers is not None  # noqa: PT018
        program, atomic = int(order.programs[clock]), bool(order.atomics[clock])
        clash = self._clash(self._writers[units], lanes, program, atomic, order, True)
        readers = self._readers[units]
        alone = ~order.unordered(readers, program)
        self._readers[units] = np.where(alone, clock, MANY)
        return clash

    def write(self, starts: Units, size: int, clock: int, order: Order) -> Clash | None:
        """The same for a store, or an atomic operation."""
        units, lanes = self._units(starts, size)
        assert self._writers is not None and self._readers is not None  # noqa: PT018
        program, atomic = int(order.programs[clock]), bool(order.atomics[clock])
        clash = self._clash(self._writers[units], lanes, program, atomic, order, True)
        clash = clash or self._clash(self._readers[units], lanes, program, False, order, False)
        self._writers[units] = clock
        self._readers[units] = NOBODY
        return clash

    @staticmethod
    def _clash(
        earlier: Clocks, lanes: Units, program: int, atomic: bool, order: Order, wrote: bool
    ) -> Clash | None:  # fmt: skip
        found = order.unordered(earlier, program)
        if atomic:
            found &= ~((earlier >= 0) & order.atomics[earlier])
        if not found.any():
            return None
        concerned = np.zeros(int(lanes.max()) + 1, dtype=bool)
        concerned[lanes[found]] = True
        return Clash(concerned, int(earlier[found][0]), wrote)

    def _units(self, starts: Units, size: int) -> tuple[Units, Units]:
        """Units of all accesses, and the lane of each."""
        if self._writers is None or self._readers is None or size < self._unit:
            self._refine(size)
        count = -(-size // self._unit)
        units = (starts // self._unit)[:, None] + np.arange(count)
        return units.ravel(), np.repeat(np.arange(len(starts)), count)

    def _refine(self, size: int) -> None:
        finer = min(size, self._unit)
        if self._writers is None or self._readers is None:
            units = -(-self._size // finer)
            self._writers, self._readers = (np.full(units, NOBODY, dtype=np.int32) for _ in range(2))
        else:
            self._writers, self._readers = (
                np.repeat(each, self._unit // finer) for each in (self._writers, self._readers)
            )
        self._unit = finer
