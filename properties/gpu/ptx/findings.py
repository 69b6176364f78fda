"""The findings of the emulator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {
    "global bounds": "an address outside of every array of the launch",
    "global alignment": "an address that is not a multiple of the access's size",
    "global uninitialized": "a load of bytes that nothing wrote",
    "global race": "two blocks use one element of global memory, and one of them stores it",
    "shared bounds": "an address outside of the block's shared memory",
    "shared alignment": "an address that is not a multiple of the access's size",
    "shared uninitialized": "a read of shared bytes that nothing wrote",
    "shared hazard": "two warps use the same shared bytes, and no barrier separates them",
    "copy in flight": "a use of bytes that a cp.async still writes",
    "proxy fence": "wgmma reads what ordinary stores wrote, without fence.proxy.async",
    "wgmma fence": "a wgmma at the start, or after a wait_group, without wgmma.fence in between",
    "wgmma wait": "registers or shared bytes of a wgmma are used before its wait_group",
    "register": "a read of a register that nothing wrote",
    "division": "an integer division by zero",
}


class PtxError(Exception):
    """The PTX cannot be executed here."""


class NotEmulated(PtxError):
    """An opcode, or a form of one, that this emulator does not know; a branch that threads of a block disagree on."""


class Fault(PtxError):
    """The kernel does what it must not do.

    Attributes:
        kind: one of `KINDS`.
        lane: a thread that does it, in the lanes of its wave; None: all.
    """

    def __init__(self, kind: str, message: str, lane: int | None = None) -> None:
        assert kind in KINDS
        super().__init__(message)
        self.kind, self.lane = kind, lane


class Finding(PtxError):
    """A fault, and where it happened.

    Attributes:
        kind: one of `KINDS`.
        line: the line of the PTX text, from 1.
    """

    def __init__(self, kind: str, message: str, line: int) -> None:
        super().__init__(message)
        self.kind, self.line = kind, line


def refuse(kind: str, wrong: NDArray[np.bool_], lanes: NDArray[Any], message: str) -> None:
    """Raise if any of the lanes is wrong.

    Args:
        wrong: (k,) or (k, bytes).
        lanes: (k,) their numbers.
    """
    if wrong.any():
        first = int(np.flatnonzero(wrong.reshape(len(lanes), -1).any(axis=1))[0])
        raise Fault(kind, message, int(lanes[first]))
