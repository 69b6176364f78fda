"""One launch of a kernel: every access of every program is looked at before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.argument import REAL, TAG_SHIFT, Argument
from trueband.properties.gpu.sanitizer.conflicts import MANY, Clash, Order
from trueband.properties.gpu.sanitizer.finding import Finding, Place
from trueband.properties.gpu.sanitizer.fresh import FreshMemory
from trueband.properties.gpu.sanitizer.memory import Memory

Addresses = NDArray[np.uint64]
Lanes = NDArray[np.bool_]
Grid = tuple[int, int, int]


class Launch:
    """One launch.

    Attributes:
        kernel: its name. number: how many launches there have been, this one counted.
        arguments: its tensors. memories: the storages they lie in.
        findings: what was found, by key.
        grid, program: those of the program that runs.
        unchecked: accesses through addresses that came from memory.
        without_other: where loads had inactive lanes and no `other`: {place: the first program}.
        reached: in another run (see `inactive`), an access that the first one did not make.
    """

    def __init__(self, kernel: str, number: int, tensors: Sequence[tuple[str, Any]], fresh: FreshMemory) -> None:
        self.kernel, self.number = kernel, number
        self.memories: dict[int, Memory] = {}
        self.arguments: list[Argument] = []
        self._waiting: list[tuple[tuple[Any, ...], Argument]] = []
        for name, tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.memories:
                known = fresh.of(tensor)
                if known is not None:
                    known.refresh(tensor)
                self.memories[storage.data_ptr()] = Memory(storage, tensor.element_size(), known)
            argument = Argument(name, tensor, len(self.arguments) + 1, self.memories[storage.data_ptr()])
            self.arguments.append(argument)
            self._waiting.append((_identity(tensor), argument))
        self.order = Order()
        self.findings: dict[tuple[Any, ...], Finding] = {}
        self.grid: Grid = (1, 1, 1)
        self.program: Grid = (0, 0, 0)
        self.unchecked = 0
        self.without_other: dict[Place, Grid] = {}
        self.again = False
        self.reached: Argument | None = None

    def tagged(self, tensor: Any) -> int:
        """The address that the kernel is given for a tensor; each argument's in turn, where one is given twice."""
        identity = _identity(tensor)
        place = next((place for place, waiting in enumerate(self._waiting) if waiting[0] == identity), None)
        if place is None:
            return int(tensor.data_ptr())
        self._waiting.append(self._waiting.pop(place))
        return self._waiting[-1][1].tagged

    def access(
        self,
        kind: str,
        addresses: Addresses,
        active: Lanes,
        size: int,
        place: Place,
        values: NDArray[Any] | None = None,
    ) -> tuple[Addresses, Lanes, int]:
        """Look at an access of `size` bytes at the addresses of active lanes.

        Returns:
            real addresses, the lanes that may be executed, and the number of the access in `order`.
        """
        clock = self.order.add(self._number(self.program), place, kind == "atomic")
        allowed = active.copy()
        for argument, lanes in self._by_argument(addresses, active):
            starts = (addresses[lanes] - np.uint64(argument.tagged)).view(np.int64)
            inside = argument.contains(starts, size)
            if not inside.all():
                allowed[lanes] = inside
                self._find(f"out-of-bounds {kind}", place, argument, starts, ~inside)
                if self.again and self._key(f"out-of-bounds {kind}", place, argument) not in self.findings:
                    self.reached = argument
            if inside.any():
                self._look(kind, argument, starts[inside] + argument.start, size, clock, place)
        if kind == "store" and values is not None:
            self._compare(addresses, allowed, np.broadcast_to(values, active.shape), place)
        return addresses & REAL, allowed, clock

    def first_of(self, addresses: Addresses) -> Argument | None:
        """The argument that the first address was computed from."""
        number = int(addresses.flat[0]) >> TAG_SHIFT if addresses.size else 0
        return self.arguments[number - 1] if 0 < number <= len(self.arguments) else None

    def _by_argument(self, addresses: Addresses, active: Lanes) -> Iterator[tuple[Argument, Lanes]]:
        tags = (addresses >> np.uint64(TAG_SHIFT)).astype(np.int64)
        for tag in np.unique(tags[active]):
            lanes = active & (tags == tag)
            if 0 < tag <= len(self.arguments):
                yield self.arguments[tag - 1], lanes
            else:
                self.unchecked += int(lanes.sum())

    def _look(
        self, kind: str, argument: Argument, starts: NDArray[np.int64], size: int, clock: int, place: Place
    ) -> None:
        """Accesses inside of a tensor, at these bytes of its storage."""
        memory = argument.memory
        if kind != "load":
            memory.keep(starts, size)
        if self.again:
            return
        if memory.fresh is not None:
            if kind != "store":
                unwritten = memory.fresh.first_unwritten(starts, size)
                if unwritten.any():
                    self._find("unwritten read", place, argument, starts - argument.start, unwritten)
            if kind != "load":
                memory.fresh.write(starts, size)
        touch = memory.conflicts.read if kind == "load" else memory.conflicts.write
        clash = touch(starts, size, clock, self.order)
        if clash is not None:
            self._race(kind, argument, starts, clash, place)

    def _race(self, kind: str, argument: Argument, starts: NDArray[np.int64], clash: Clash, place: Place) -> None:
        lanes = np.zeros(len(starts), dtype=bool)
        lanes[: len(clash.lanes)] = clash.lanes
        both_write = kind != "load" and clash.earlier_wrote
        other, other_place = None, None
        if clash.earlier != MANY:
            other = self._of_number(int(self.order.programs[clash.earlier]))
            other_place = self.order.places[clash.earlier]
        name = "write/write race" if both_write else "read/write race"
        self._find(name, place, argument, starts - argument.start, lanes, other, other_place)

    def _compare(self, addresses: Addresses, active: Lanes, values: NDArray[Any], place: Place) -> None:
        """Lanes of one store that write different values into one element."""
        targets = addresses[active]
        unique, first, places = np.unique(targets, return_index=True, return_inverse=True)
        if len(unique) == len(targets):
            return
        stored = np.ascontiguousarray(values[active]).view(f"u{values.dtype.itemsize}")
        differ = stored != stored[first][places]
        argument = self.first_of(targets[differ]) if differ.any() else None
        if argument is not None:
            offsets = (targets - np.uint64(argument.tagged)).view(np.int64)
            self._find("lane race", place, argument, offsets, differ)

    def _find(
        self,
        kind: str,
        place: Place,
        argument: Argument,
        offsets: NDArray[np.int64],
        lanes: Lanes,
        other: Grid | None = None,
        other_place: Place | None = None,
    ) -> None:
        """A finding; `offsets`: in bytes from the first element of the tensor, `lanes`: those concerned."""
        if self.again:
            return
        self.add(
            Finding(
                kind,
                self.kernel,
                self.number,
                place,
                argument.name,
                argument.dtype,
                argument.shape,
                argument.index(int(offsets[lanes][0])),
                int(lanes.sum()),
                self.program,
                self.grid,
                other,
                other_place,
                unwrapped=argument.unwrapped(int(offsets[lanes][0])),
            )
        )

    def add(self, finding: Finding) -> None:
        """The first of its key is kept, and how many there were."""
        merged(self.findings, finding)

    def _key(self, kind: str, place: Place, argument: Argument) -> tuple[Any, ...]:
        return kind, self.kernel, place.file, place.line, argument.name

    def _number(self, program: Grid) -> int:
        return (program[0] * self.grid[1] + program[1]) * self.grid[2] + program[2]

    def _of_number(self, number: int) -> Grid:
        rest, z = divmod(number, self.grid[2])
        return (*divmod(rest, self.grid[1]), z)


def merged(findings: dict[tuple[Any, ...], Finding], finding: Finding) -> None:
    """Add a finding to those of its key."""
    known = findings.get(finding.key)
    findings[finding.key] = finding if known is None else known.again(finding.times)


def _identity(tensor: Any) -> tuple[Any, ...]:
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), str(tensor.dtype)
