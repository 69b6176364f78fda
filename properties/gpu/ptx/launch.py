"""Launches a kernel in the emulator."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.execute import Executable, execute
from trueband.properties.gpu.ptx.global_memory import GlobalMemory
from trueband.properties.gpu.ptx.wave import Wave

MOST_LANES = 8192  # of one wave


class Kernel(NamedTuple):
    """A compiled kernel.

    Attributes:
        executable: the executable of its PTX.
        shared: bytes of shared memory that a block has.
    """

    executable: Executable
    shared: int


class Pointer(NamedTuple):
    """An array as an argument.

    Attributes:
        array: numbers of the process, of any strides; what the kernel stores is stored there.
        written: (elements,) in C order, which of them hold something, and what was stored is added; None: all.
    """

    array: NDArray[Any]
    written: NDArray[np.bool_] | None = None


def launch(
    kernel: Kernel,
    grid: tuple[int, int, int],
    arguments: Sequence[Pointer | int | float],
    counters: dict[str, float] | None = None,
    blocks: Sequence[tuple[int, int, int]] | None = None,
    seed: int = 0,
) -> None:
    """Run a kernel on all blocks of a grid, in an order that the seed shuffles.

    Args:
        arguments: in the order of the kernel's own; further parameters, that Triton adds, are 0.
        counters: sums to be kept, see `counting`.
        blocks: the blocks to run, instead of all.

    Raises:
        Finding: the kernel does what it must not do. Nothing is stored then.
        NotEmulated: it does what is not emulated.
    """
    pointers = [value for value in arguments if isinstance(value, Pointer)]
    memory = GlobalMemory([pointer.array for pointer in pointers], [pointer.written for pointer in pointers])
    program = kernel.executable.program
    if len(arguments) > len(program.parameters):
        raise ValueError(f"arguments: expected at most {len(program.parameters)}, got {len(arguments)}")
    parameters = dict.fromkeys(program.parameters, 0)
    for name, argument in zip(program.parameters, arguments, strict=False):
        parameters[name] = _bits(memory, argument)
    every = np.array(
        [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]
        if blocks is None
        else blocks
    ).reshape(-1, 3)
    np.random.default_rng(seed).shuffle(every)
    together = max(1, MOST_LANES // program.threads)
    for start in range(0, len(every), together):
        wave = Wave(program, memory, parameters, grid, every[start : start + together], kernel.shared, counters)
        execute(kernel.executable, wave)
    if counters is not None:
        counters["distinct bytes"] = counters.get("distinct bytes", 0) + memory.distinct_bytes()
    memory.back()
    for pointer in pointers:
        if pointer.written is not None:
            places = memory.places(pointer.array).reshape(-1, pointer.array.itemsize)
            np.logical_or(pointer.written, memory.written[places].all(axis=1), out=pointer.written)


def _bits(memory: GlobalMemory, argument: Pointer | int | float) -> int:
    if isinstance(argument, Pointer):
        return memory.address(argument.array)
    if isinstance(argument, float):
        return int(struct.unpack("<I", struct.pack("<f", argument))[0])
    return int(argument) % (1 << 64)
