"""Memory that a candidate is handed and hands back: fresh, between guard bands, poisoned when it is freed.

Inputs lie in raw memory of their own, filled around with bytes that are NaN in every floating format (True in masks).
The bytes are compared as a whole after the call: numbers that changed and writes beside them are seen alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
GUARD = 256  # bytes on either side
ALIGNMENT = 64  # of the first byte of an input: that of torch, so that a result does not depend on where it lies
POISONED_BLOCKS = 4
NAN_BYTE, TRUE_BYTE = 0xFF, 1  # what lies around numbers, and around masks


@dataclass(frozen=True)
class Held:
    """One input in guarded memory.

    Attributes:
        raw: its bytes, guard bands included.
        start, stop: where the numbers lie in them.
        before: all the bytes as they were before the call.
    """

    raw: NDArray[np.uint8]
    start: int
    stop: int
    before: bytes

    def damage(self) -> str:
        """Return what changed: "" (nothing), "changed" (the numbers) or "overrun" (the memory around them)."""
        now = self.raw.tobytes()
        if now == self.before:
            return ""
        return "overrun" if now[self.start : self.stop] == self.before[self.start : self.stop] else "changed"


class HostMemory:
    """The memory of the host, for numpy arrays, or for tensors if torch is given."""

    def __init__(self, torch: Any = None) -> None:
        self._torch = torch

    def place(self, typed: Any, reuse: Any = None) -> tuple[Any, Held]:
        """See `place`."""
        return place(typed, self._torch, reuse)

    def poison(self, shape: tuple[int, ...], dtype: str) -> None:
        """See `poison`."""
        poison(shape, dtype, self._torch)

    def window(self, output: Any) -> Array:
        """See `window`."""
        return window(output, self._torch)

    def shares(self, output: Array, raw: Array) -> bool:
        """See `shares`."""
        return shares(output, raw)

    def overlaps_itself(self, output: Array) -> bool:
        """See `overlaps_itself`."""
        return overlaps_itself(output)

    def burn(self, output: Array) -> None:
        """See `burn`."""
        burn(output)

    def is_burnt(self, output: Array) -> bool:
        """See `is_burnt`."""
        return is_burnt(output)


def place(typed: Any, torch: Any = None, reuse: NDArray[np.uint8] | None = None) -> tuple[Any, Held]:
    """Copy an array into guarded memory; return the view of it, and the memory.

    Args:
        typed: a contiguous numpy array, or a contiguous tensor on the CPU.
        torch: the module, for a tensor.
        reuse: memory of an earlier call, to be overwritten if it has the right size.
    """
    is_brain = torch is not None and typed.dtype == torch.bfloat16  # which numpy does not have
    source = typed if torch is None else (typed.view(torch.int16) if is_brain else typed).numpy()
    room = source.nbytes + 2 * GUARD + ALIGNMENT
    raw = reuse if reuse is not None and len(reuse) == room else np.empty(room, np.uint8)
    raw.fill(TRUE_BYTE if source.dtype == np.bool_ else NAN_BYTE)
    start = GUARD + -(_address(raw) + GUARD) % ALIGNMENT
    stop = start + source.nbytes
    inside = raw[start:stop].view(source.dtype).reshape(source.shape)
    inside[...] = source
    held = Held(raw, start, stop, raw.tobytes())
    if torch is None:
        return inside, held
    tensor = torch.from_numpy(inside)
    return (tensor.view(torch.bfloat16) if is_brain else tensor), held


def poison(shape: tuple[int, ...], dtype: str, torch: Any = None) -> None:
    """Leave NaN in the blocks that an allocation of this size gets next: what is not written is seen."""
    if torch is None:
        blocks = [np.full(shape, np.nan, dtype) for _ in range(POISONED_BLOCKS)]
    else:
        blocks = [torch.full(shape, np.nan, dtype=getattr(torch, dtype)) for _ in range(POISONED_BLOCKS)]
    del blocks


def window(output: Any, torch: Any = None) -> Array:
    """Return the memory of an output as a numpy array: floating, or int16 for bfloat16."""
    if torch is None:
        view: Array = output
    elif output.dtype == torch.bfloat16:
        view = output.detach().view(torch.int16).numpy()
    else:
        view = output.detach().numpy()
    return view


def shares(output: Array, raw: Array) -> bool:
    """Return whether two arrays may lie in the same memory."""
    return bool(np.may_share_memory(output, raw))


def overlaps_itself(output: Array) -> bool:
    """Return whether elements of an array share memory: it has more of them than it spans."""
    steps = zip(output.shape, output.strides, strict=True)
    span = output.itemsize + sum((n - 1) * abs(stride) for n, stride in steps)
    return span < output.nbytes


def burn(output: Array) -> None:
    """Fill an output that has been read with NaN. One that cannot be written to stays."""
    if output.flags.writeable:
        output.fill(-1 if output.dtype == np.int16 else np.nan)


def is_burnt(output: Array) -> bool:
    """Return whether nothing has been written to a burnt output."""
    if not output.flags.writeable:
        return True
    return bool((output == -1).all() if output.dtype == np.int16 else np.isnan(output).all())


def _address(raw: NDArray[np.uint8]) -> int:
    address: int = raw.__array_interface__["data"][0]
    return address
