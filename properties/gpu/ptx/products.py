"""mma.sync: products of small matrices that the threads of a warp hold together.

Thread 4g+t of a warp holds, of a matrix of 16-bit numbers, row g of each 8x8 block and its columns 2t and 2t+1: read in
order of the threads, a register is such a block. Of 32-bit numbers it holds column t of 8x4 blocks.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from trueband.properties.gpu.ptx.floating import widened
from trueband.properties.gpu.ptx.opcodes import Step, opcode
from trueband.properties.gpu.ptx.parse import Instruction, vector
from trueband.properties.gpu.ptx.wave import WARP, Lanes, Mask, Wave, source

_TF32 = np.uint32(0xFFFFE000)  # the 19 bits that a tensor core reads of a float32


def numbers(bits: Any, kind: str) -> Any:
    """float32 of a tensor core's factors, given as unsigned bits.

    Args:
        kind: "bf16", "f16" (16 bits each) or "tf32" (32 bits).
    """
    if kind == "tf32":
        return (bits & _TF32).view(np.float32)
    return widened[kind](bits.view(np.float16) if kind == "f16" else bits)


def tile(register: Lanes, warps: int, kind: str) -> Any:
    """(warps, 8, 8) numbers that the threads hold in a register; (warps, 8, 4) for tf32."""
    register = np.ascontiguousarray(np.broadcast_to(register, warps * WARP))
    bits = register if kind == "tf32" else register.view(np.uint16)
    return numbers(bits, kind).reshape(warps, 8, -1)


def left_factor(registers: list[Lanes], warps: int, kind: str) -> Any:
    """(warps, 16, k) of four registers: the upper and lower left, the upper and lower right blocks."""
    first, second, third, fourth = (tile(register, warps, kind) for register in registers)
    return np.concatenate([np.concatenate([first, third], axis=2), np.concatenate([second, fourth], axis=2)], axis=1)


@opcode(r"mma\.sync\.aligned\.m16n8k(8|16)\.row\.col\.f32\.(bf16|f16|tf32)\.(bf16|f16|tf32)\.f32")
def multiply(instruction: Instruction, match: re.Match[str]) -> Step:
    """(16, k) times (k, 8), added to (16, 8) float32."""
    kind, size = match[2], 2 * 16 * 8 * int(match[1])
    targets = vector(instruction.operands[0])
    left, right = ([source(register, "b32") for register in vector(operand)] for operand in instruction.operands[1:3])
    added = [source(register, "f32") for register in vector(instruction.operands[3])]

    def step(wave: Wave, mask: Mask | None) -> None:
        rows = left_factor([read(wave) for read in left], wave.warps, kind)
        columns = np.concatenate([tile(read(wave), wave.warps, kind) for read in right], axis=2)
        product = rows @ columns.swapaxes(1, 2)
        for index, (target, read) in enumerate(zip(targets, added, strict=True)):
            half = product[:, 8 * (index // 2) : 8 * (index // 2) + 8, index % 2 :: 2]
            wave.write(target, read(wave) + half.reshape(-1), mask)
        if wave.counters is not None:
            wave.count("tensor operations", size * wave.warps)

    return step
