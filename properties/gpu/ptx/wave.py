"""The threads of many blocks as NumPy lanes: their registers, and what they share.

Blocks of one wave execute the same instructions at the same time. Where their ways part, the wave is split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.asynchronous import Copies, Products
from trueband.properties.gpu.ptx.findings import Fault, NotEmulated
from trueband.properties.gpu.ptx.global_memory import GlobalMemory
from trueband.properties.gpu.ptx.parse import Program
from trueband.properties.gpu.ptx.shared_memory import SharedMemory

Lanes = NDArray[Any]
Mask = NDArray[np.bool_]
Read = Callable[["Wave"], Lanes]

WARP = 32
# What a register holds, by the last part of an opcode. Registers are kept as unsigned numbers of their size.
TYPES: dict[str, Any] = {
    "pred": np.bool_,
    "b8": np.uint8,
    "b16": np.uint16,
    "b32": np.uint32,
    "b64": np.uint64,
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
    "s8": np.int8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "f16": np.float16,
    "bf16": np.uint16,
    "f32": np.float32,
    "f64": np.float64,
}
_UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
# In lanes that a predicate left unwritten: NaN in all formats, and no address.
_POISON = {2: 0xFFBA, 4: 0xFFBADBAD, 8: 0xFFFBADBADBADBAD0}


class Wave:
    """Blocks that are at the same instruction.

    Attributes:
        blocks: (count, 3) their indices in the grid; numbers: (count,) the same as one number.
        registers: {name: (lanes,)}; the lanes of a block are next to each other.
        thread: (lanes,) in the block; warp: (lanes,) in the block; block: (lanes,) index into `blocks`.
        copies, products: cp.async and wgmma under way.
        at: index of the next instruction.
        apart: (lanes,) threads that go on while the others wait for them at the instruction `rejoin`; None: all do.
        counters: sums that `counting` keeps; None: not counted.
    """

    def __init__(
        self,
        program: Program,
        memory: GlobalMemory,
        parameters: dict[str, int],
        grid: tuple[int, int, int],
        blocks: NDArray[np.int64],
        shared_bytes: int,
        counters: dict[str, float] | None = None,
    ) -> None:
        self.program, self.memory, self.parameters, self.grid = program, memory, parameters, grid
        self.shared = SharedMemory(len(blocks), shared_bytes)
        self.copies, self.products = Copies(), Products()
        self.registers: dict[str, Lanes] = {}
        self.counters = counters
        self.at, self.rejoin = 0, 0
        self.apart: Mask | None = None
        self._place(blocks)

    def _place(self, blocks: NDArray[np.int64]) -> None:
        threads = self.program.threads
        self.blocks, self.lanes, self.warps = blocks, len(blocks) * threads, len(blocks) * threads // WARP
        self.numbers = (blocks @ np.array([1, self.grid[0], self.grid[0] * self.grid[1]])).astype(np.int32)
        self.thread = np.tile(np.arange(threads, dtype=np.uint32), len(blocks))
        self.warp = (self.thread // WARP).astype(np.uint8)
        self.block = np.repeat(np.arange(len(blocks)), threads)
        self.special = {"%tid.x": self.thread}
        for axis, letter in enumerate("xyz"):
            self.special["%ctaid." + letter] = blocks[:, axis].astype(np.uint32)[self.block]
            self.special["%nctaid." + letter] = np.full(self.lanes, self.grid[axis], np.uint32)
            self.special["%ntid." + letter] = np.full(self.lanes, 1 if axis else threads, np.uint32)
        self.special["%tid.y"] = self.special["%tid.z"] = np.zeros(self.lanes, np.uint32)
        self.special["%laneid"] = self.thread % WARP

    def split(self, chosen: NDArray[np.bool_]) -> Wave:
        """Take the chosen (count,) blocks out of this wave, into one of their own."""
        other = object.__new__(Wave)
        other.__dict__.update(self.__dict__)
        self._keep(~chosen)
        other._keep(chosen)
        return other

    def _keep(self, chosen: NDArray[np.bool_]) -> None:
        lanes = chosen[self.block]
        self.registers = {name: value[lanes] for name, value in self.registers.items()}
        size = self.shared.size
        self.copies = self.copies.of(chosen, size)
        self.products = self.products.of(chosen, size)
        self.shared = self.shared.of(chosen)
        self._place(self.blocks[chosen])

    def read(self, name: str) -> Lanes:
        """(lanes,) a register, unsigned."""
        value = self.registers.get(name)
        if value is None:
            raise Fault("register", f"{name} is read, and nothing wrote it")
        if self.products.written and name in self.products.written:
            raise Fault("wgmma wait", f"{name} is read while a wgmma writes it")
        return value

    def write(self, name: str, value: Any, mask: Mask | None) -> None:
        """Sets a register in the lanes of the mask."""
        if self.products.pending and (name in self.products.written or name in self.products.read):
            raise Fault("wgmma wait", f"{name} is written while a wgmma uses it")
        if value.dtype != np.bool_ and value.dtype.kind != "u":
            value = value.view(_UNSIGNED[value.dtype.itemsize])
        if value.ndim == 0:
            value = np.full(self.lanes, value)
        if mask is not None:
            poison: Any = False if value.dtype == np.bool_ else value.dtype.type(_POISON[value.dtype.itemsize])
            value = np.where(mask, value, self.registers.get(name, poison))
        self.registers[name] = value

    def count(self, what: str, value: float) -> None:
        assert self.counters is not None
        self.counters[what] = self.counters.get(what, 0) + value


def source(operand: str, kind: str) -> Read:
    """Return how an operand is read: a register, a number, or a name that the hardware fills in.

    Args:
        kind: one of `TYPES`.
    """
    wanted = TYPES[kind]
    size = np.dtype(wanted).itemsize
    if operand.startswith("%"):
        if operand.startswith(("%tid.", "%ctaid.", "%nctaid.", "%ntid.", "%laneid")):
            return lambda wave: wave.special[operand]

        def read(wave: Wave) -> Lanes:
            value = wave.read(operand)
            if value.dtype == wanted:
                return value
            if value.dtype.itemsize == size and value.dtype != np.bool_:
                return value.view(wanted)
            raise NotEmulated(f"{operand}: expected a register of {kind}, got one of {value.dtype}")

        return read
    value = number(operand, wanted)
    return lambda wave: value


def number(text: str, wanted: Any) -> Any:
    """An immediate: 12, -3, 0x1F, 12U, or the bits of a floating number, 0f3F800000 and 0d..."""
    if text == "global_smem":
        return wanted(0)
    if text[:2].lower() in ("0f", "0d"):
        bits = np.uint32(int(text[2:], 16)) if text[1] in "fF" else np.uint64(int(text[2:], 16))
        return bits.view(wanted)
    try:
        value = int(text.rstrip("U"), 0)
    except ValueError:
        raise NotEmulated(f"operand: expected a register or a number, got {text!r}") from None
    if wanted is np.bool_:
        return np.bool_(value)
    size = np.dtype(wanted).itemsize
    return _UNSIGNED[size](value % (1 << 8 * size)).view(wanted)
