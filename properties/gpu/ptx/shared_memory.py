"""Shared memory of the blocks of a wave: its bytes, and what is known of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.findings import Fault, refuse

Addresses = NDArray[np.int64]
Lanes = NDArray[np.int64]
_MOST = 16  # bytes of one access
_SEVERAL = 255


class SharedMemory:
    """Attributes:
    size: bytes of a block as they are laid out here; limit: as they are declared.
    bytes: (blocks * size,).
    writer, reader: (blocks * size,) warp + 1 that wrote and read a byte since the last barrier, 0 for none; 255 for
        several.
    written: (blocks * size,) whether anything did.
    flying: how many cp.async still write a byte; busy: how many wgmma still read it.
    dirty: ordinary stores wrote it, and wgmma may not see it yet.
    """

    def __init__(self, blocks: int, limit: int) -> None:
        self.limit, self.size = limit, -(-max(limit, 1) // _MOST) * _MOST
        total = blocks * self.size
        self.bytes = np.full(total, 0xFF, np.uint8)
        self.writer, self.reader = np.zeros(total, np.uint8), np.zeros(total, np.uint8)
        self.flying, self.busy = np.zeros(total, np.uint8), np.zeros(total, np.uint8)
        self.written, self.dirty = np.zeros(total, bool), np.zeros(total, bool)
        self._touched = False
        self._copies = self._products = 0  # under way

    def of(self, chosen: NDArray[np.bool_]) -> SharedMemory:
        """The shared memory of the chosen blocks."""
        other = object.__new__(SharedMemory)
        for name, value in self.__dict__.items():
            if isinstance(value, np.ndarray):
                value = value.reshape(len(chosen), self.size)[chosen].reshape(-1)
            other.__dict__[name] = value
        return other

    def barrier(self) -> None:
        """Make the writes of all warps visible to all: they have all arrived."""
        if self._touched:
            self.writer.fill(0)
            self.reader.fill(0)
            self._touched = False

    def load(self, addresses: Addresses, blocks: Lanes, size: int, lanes: Lanes, warps: NDArray[np.uint8]) -> Any:
        """(k, size) bytes at (k,) addresses of the blocks (k,), read by the lanes and warps."""
        at = self._check("read", addresses, blocks, size, lanes)
        refuse(
            "shared uninitialized",
            ~self._of(self.written, at, size),
            lanes,
            f"{size} bytes are read that nothing wrote",
        )
        self._check_writer("read", at, size, lanes, warps)
        reader = self._of(self.reader, at, size)
        mine = (warps + 1)[:, None]
        self.reader.reshape(-1, size)[at] = np.where((reader == 0) | (reader == mine), mine, _SEVERAL)
        # Warps that read the same bytes at the same time: the last assignment won, so that it is looked at again.
        clash = self._of(self.reader, at, size) != mine
        if clash.any():
            self.reader[((at * size)[:, None] + np.arange(size))[clash]] = _SEVERAL
        return self._of(self.bytes, at, size)

    def store(
        self, addresses: Addresses, blocks: Lanes, data: NDArray[np.uint8], lanes: Lanes, warps: NDArray[np.uint8]
    ) -> None:
        """Store (k, size) bytes."""
        at = self._write(addresses, blocks, data.shape[1], lanes, warps)
        size = data.shape[1]
        self.bytes.reshape(-1, size)[at] = data
        self.writer.reshape(-1, size)[at] = (warps + 1)[:, None]
        # Warps may hold the same numbers, and write them to one place; a read by any has to wait for a barrier.
        crossed = self._of(self.writer, at, size) != (warps + 1)[:, None]
        if crossed.any():
            differs = crossed & (self._of(self.bytes, at, size) != data)
            refuse("shared hazard", differs, lanes, "two warps write different bytes to one place at the same time")
            self.writer[((at * size)[:, None] + np.arange(size))[crossed]] = _SEVERAL

    def fly(
        self, addresses: Addresses, blocks: Lanes, size: int, lanes: Lanes, warps: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """A cp.async starts to write. (k,) places of its first bytes."""
        at = self._write(addresses, blocks, size, lanes, warps)
        self.flying.reshape(-1, size)[at] += 1
        self._copies += 1
        return at * size

    def land(self, places: NDArray[np.int64], data: NDArray[np.uint8], warps: NDArray[np.uint8]) -> None:
        """Write (k, size) bytes at places (k,). Other warps see them after a barrier."""
        size = data.shape[1]
        at = places // size
        self.bytes.reshape(-1, size)[at] = data
        self.flying.reshape(-1, size)[at] -= 1
        self.writer.reshape(-1, size)[at] = (warps + 1)[:, None]
        self.dirty.reshape(-1, size)[at] = True  # a fence before it had landed is none
        self._copies -= 1
        self._touched = True

    def multiply(self, places: NDArray[np.int64]) -> Any:
        """The bytes at places of any shape, read by a wgmma."""
        for wrong, kind, what in (
            (self.flying[places] != 0, "copy in flight", "wgmma reads bytes that a cp.async still writes"),
            (~self.written[places], "shared uninitialized", "wgmma reads shared bytes that nothing wrote"),
            (self.writer[places] != 0, "shared hazard", "wgmma reads what was written since the last bar.sync"),
            (self.dirty[places], "proxy fence", "wgmma reads what was written since the last fence.proxy.async"),
        ):
            if wrong.any():
                raise Fault(kind, what)
        return self.bytes[places]

    def hold(self, places: NDArray[np.int64]) -> None:
        """A wgmma reads its (distinct) places until they are released."""
        self.busy[places] += 1
        self._products += 1

    def release(self, places: NDArray[np.int64]) -> None:
        """A wgmma has read its (distinct) places. Each warp waits for its own share alone: a write needs a barrier."""
        self.busy[places] -= 1
        self.reader[places] = _SEVERAL
        self._touched = True
        self._products -= 1

    def _write(
        self, addresses: Addresses, blocks: Lanes, size: int, lanes: Lanes, warps: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        at = self._check("write", addresses, blocks, size, lanes)
        self._check_writer("write", at, size, lanes, warps)
        reader = self._of(self.reader, at, size)
        crossed = (reader != 0) & (reader != (warps + 1)[:, None])
        refuse("shared hazard", crossed, lanes, "a write after another warp's read, without bar.sync")
        if self._products:
            busy = self._of(self.busy, at, size) != 0
            refuse("wgmma wait", busy, lanes, "a write into shared bytes that a wgmma still reads")
        self.written.reshape(-1, size)[at] = True
        self.dirty.reshape(-1, size)[at] = True
        return at

    def _check(self, what: str, addresses: Addresses, blocks: Lanes, size: int, lanes: Lanes) -> NDArray[np.int64]:
        """(k,) places, in units of the size."""
        outside = (addresses < 0) | (addresses + size > self.limit)
        refuse("shared bounds", outside, lanes, f"{what} of {size} bytes outside of the {self.limit} of the block")
        refuse(
            "shared alignment",
            addresses % size != 0,
            lanes,
            f"{what} of {size} bytes at an address that is not aligned",
        )
        at: NDArray[np.int64] = (blocks * self.size + addresses) // size
        if self._copies:
            flying = self._of(self.flying, at, size) != 0
            refuse("copy in flight", flying, lanes, f"a {what} of bytes that a cp.async still writes")
        self._touched = True
        return at

    def _check_writer(
        self, what: str, at: NDArray[np.int64], size: int, lanes: Lanes, warps: NDArray[np.uint8]
    ) -> None:
        writer = self._of(self.writer, at, size)
        crossed = (writer != 0) & (writer != (warps + 1)[:, None])
        refuse("shared hazard", crossed, lanes, f"a {what} after another warp's write, without bar.sync")

    @staticmethod
    def _of(array: NDArray[Any], at: NDArray[np.int64], size: int) -> NDArray[Any]:
        values: NDArray[Any] = array.reshape(-1, size)[at]
        return values
