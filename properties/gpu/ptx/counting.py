"""Counts of what memory has to do: sectors of global memory, and passes over the banks of shared memory.

A launch with counters also has: "instructions" of warps; "tensor operations", "float operations", "special" (results of
exp2, log2, rcp, ...); "copied bytes" of cp.async; "distinct bytes" of global memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trueband.properties.gpu.ptx.wave import Wave

SECTOR = 32  # bytes that global memory moves at least
BANKS = 32  # of 4 bytes each


def count_sectors(wave: Wave, what: str, at: Any, size: int, lanes: Any) -> None:
    """Bytes, and distinct sectors of each warp's access to global memory."""
    warps = lanes // 32
    first, last = at // SECTOR, (at + size - 1) // SECTOR
    touched = np.unique(np.concatenate([np.stack([warps, first]), np.stack([warps, last])], axis=1), axis=1)
    wave.count(f"global {what} bytes", len(lanes) * size)
    wave.count(f"global {what} sectors", touched.shape[1])


def count_banks(wave: Wave, what: str, at: Any, size: int, lanes: Any) -> None:
    """Passes over the banks, and how many there were without conflicts.

    A pass moves one word of each bank. Threads of a warp are served 32 words at a time: all for words, half of them for
    8 bytes, a quarter for 16.
    """
    served = max(1, min(32, 128 // size))
    groups = lanes // served
    words = (at[:, None] // 4 + np.arange(max(size // 4, 1))).reshape(-1)
    distinct = np.unique(np.stack([np.repeat(groups, max(size // 4, 1)), words]), axis=1)
    group, counts = np.unique(distinct[0], return_counts=True)
    _, of_bank = np.unique(distinct[0] * BANKS + distinct[1] % BANKS, return_counts=True)
    bank_group = np.unique(distinct[0] * BANKS + distinct[1] % BANKS) // BANKS
    most = np.zeros(len(group), np.int64)
    np.maximum.at(most, np.searchsorted(group, bank_group), of_bank)
    wave.count(f"shared {what} passes", int(most.sum()))
    wave.count(f"shared {what} passes without conflicts", int((-(-counts // BANKS)).sum()))
