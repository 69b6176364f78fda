"""The memory of a device that a candidate is handed and hands back, as `memory` is that of the host.

All is compared where it lies: nothing of an input is copied to the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trueband.properties.candidate.errors import is_lack_of_memory
from trueband.properties.candidate.memory import NAN_BYTE, POISONED_BLOCKS, TRUE_BYTE

GUARD = 512  # bytes on either side, and the alignment of an input: that of torch's allocator


@dataclass(frozen=True)
class DeviceHeld:
    """One input in guarded memory of a device.

    Attributes:
        raw: its bytes, guard bands included, (size,) uint8.
        inside: the memory of the input, a view of them.
        start, stop: where it lies in them.
        before: all the bytes as they were before the call.
    """

    raw: Any
    inside: Any
    start: int
    stop: int
    before: Any

    def damage(self) -> str:
        """Return what changed: "" (nothing), "changed" (the numbers) or "overrun" (the memory around them)."""
        differs = self.raw != self.before
        if not bool(differs.any()):
            return ""
        return "changed" if bool(differs[self.start : self.stop].any()) else "overrun"

    def spoil(self) -> None:
        """Overwrite the numbers of the input by NaN, and others by 0."""
        inside = self.inside
        inside.fill_(float("nan") if inside.dtype.is_floating_point else 0)

    def disturb(self, all_true: bool = False) -> None:
        """Negate the numbers of the input, or make a mask all True; other integers and masks stay."""
        inside = self.inside
        if all_true:
            inside.fill_(True)
        elif inside.dtype.is_floating_point:
            inside.neg_()

    def write(self) -> None:
        """Write the input again, on the current stream."""
        self.raw.copy_(self.before)


class DeviceMemory:
    """The memory of one CUDA device, through torch."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch, self._device = torch, device

    def place(self, typed: Any, reuse: Any = None) -> tuple[Any, DeviceHeld]:
        """Copy a contiguous tensor of the host into guarded memory; return the view of it, and the memory.

        Args:
            reuse: bytes of an earlier call, to be overwritten if they have the right size.
        """
        torch, size = self._torch, typed.numel() * typed.element_size()
        room = size + 3 * GUARD
        fits = reuse is not None and reuse.numel() == room
        raw = reuse if fits else torch.empty(room, dtype=torch.uint8, device=self._device)
        raw.fill_(TRUE_BYTE if typed.dtype == torch.bool else NAN_BYTE)
        start = GUARD + -raw.data_ptr() % GUARD
        inside = raw[start : start + size].view(typed.dtype).view(typed.shape)
        inside.copy_(typed)
        # Autograd is not told of what is written to the bytes between two passes.
        return inside.data, DeviceHeld(raw, inside, start, start + size, raw.clone())

    def poison(self, shape: tuple[int, ...], dtype: str) -> None:
        """Leave NaN in the blocks that allocations of an output, of its sums and of its lse get next."""
        torch = self._torch
        likely = [(shape, getattr(torch, dtype)), (shape, torch.float32), (shape[:-1], torch.float32)]
        try:
            blocks = [
                torch.full(size, float("nan"), dtype=kind, device=self._device)
                for size, kind in likely
                for _ in range(POISONED_BLOCKS)
            ]
            del blocks
        except Exception as error:
            if not is_lack_of_memory(error):
                raise

    def window(self, output: Any) -> Any:
        """Return the memory of an output as a tensor without gradients."""
        return output.detach()

    def shares(self, output: Any, raw: Any) -> bool:
        """Return whether two tensors lie in the same block."""
        return bool(output.untyped_storage().data_ptr() == raw.untyped_storage().data_ptr())

    def overlaps_itself(self, output: Any) -> bool:
        """Return whether elements of a tensor share memory: it has more of them than it spans."""
        span = 1 + sum((size - 1) * abs(stride) for size, stride in zip(output.shape, output.stride(), strict=True))
        return bool(span < output.numel())

    def burn(self, output: Any) -> None:
        """Fill an output that has been read with NaN. One whose elements overlap, but for expanded axes, stays."""
        if (own := _each_once(output)) is not None:
            with self._torch.inference_mode():  # the one place where tensors made in it may be written to
                own.fill_(float("nan"))

    def is_burnt(self, output: Any) -> bool:
        """Return whether nothing has been written to a burnt output."""
        own = _each_once(output)
        return own is None or bool(own.isnan().all())


def _each_once(output: Any) -> Any:
    """Return a tensor without its repetitions along expanded axes; None if elements share memory in another way."""
    for axis, (size, stride) in enumerate(zip(output.shape, output.stride(), strict=True)):
        output = output.narrow(axis, 0, 1) if size > 1 and stride == 0 else output
    span = 1 + sum((size - 1) * abs(stride) for size, stride in zip(output.shape, output.stride(), strict=True))
    return output if span >= output.numel() else None
