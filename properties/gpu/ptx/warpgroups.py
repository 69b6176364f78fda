"""wgmma: products of four warps together, whose factors lie in shared memory and which run beside the threads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.asynchronous import Product
from trueband.properties.gpu.ptx.findings import Fault, NotEmulated
from trueband.properties.gpu.ptx.opcodes import Step, by_all, opcode
from trueband.properties.gpu.ptx.parse import Instruction, vector
from trueband.properties.gpu.ptx.products import left_factor, numbers
from trueband.properties.gpu.ptx.wave import WARP, Mask, Wave, source

GROUP = 4 * WARP  # threads of a warpgroup
_ROWS = 64
_PITCH = {1: 128, 2: 64, 3: 32}  # bytes of a row, by the swizzle mode of a descriptor


@opcode(r"wgmma\.fence\.sync\.aligned")
def fence(instruction: Instruction, match: re.Match[str]) -> Step:
    def step(wave: Wave, mask: Mask | None) -> None:
        wave.products.fenced = True

    return by_all(instruction, step)


@opcode(r"wgmma\.commit_group\.sync\.aligned")
def commit(instruction: Instruction, match: re.Match[str]) -> Step:
    return lambda wave, mask: wave.products.commit()


@opcode(r"wgmma\.wait_group\.sync\.aligned")
def wait(instruction: Instruction, match: re.Match[str]) -> Step:
    most = int(instruction.operands[0], 0)

    def step(wave: Wave, mask: Mask | None) -> None:
        for product in wave.products.wait(most):
            wave.shared.release(product.places)

    return step


@opcode(r"fence\.proxy\.async(\.shared::cta)?")
def proxy_fence(instruction: Instruction, match: re.Match[str]) -> Step:
    return lambda wave, mask: wave.shared.dirty.fill(False)


@opcode(r"wgmma\.mma_async\.sync\.aligned\.m64n(\d+)k(8|16)\.f32\.(bf16|f16|tf32)\.(bf16|f16|tf32)")
def multiply(instruction: Instruction, match: re.Match[str]) -> Step:
    """(64, k) of registers or shared memory times (k, n) of shared memory, added to (64, n) float32 in registers."""
    columns, depth, kind = int(match[1]), int(match[2]), match[3]
    targets = vector(instruction.operands[0])
    from_registers = instruction.operands[1].startswith("{")
    registers = vector(instruction.operands[1]) if from_registers else []
    left = [source(register, "b32") for register in registers]
    left_place = None if from_registers else source(instruction.operands[1], "u64")
    right_place = source(instruction.operands[2], "u64")
    adds = source(instruction.operands[3], "pred")
    scales, majors = instruction.operands[4:6], [int(operand) for operand in instruction.operands[6:]]
    if scales != ("1", "1"):
        raise NotEmulated(f"wgmma with factors scaled by {scales}")
    left_major = 0 if from_registers or not majors else majors[0]
    right_major = majors[-1] if majors else 0

    def step(wave: Wave, mask: Mask | None) -> None:
        groups = wave.lanes // GROUP
        keeps = np.broadcast_to(adds(wave), wave.lanes)
        # PTX asks for more: no thread may use the registers in between. LLVM moves instructions behind the fence all
        # the same, and leaves their order to ptxas.
        if not wave.products.fenced:
            raise Fault("wgmma fence", "no wgmma.fence lies between the last wait_group, or the start, and a wgmma")
        if wave.products.written.intersection(registers):
            raise Fault("wgmma wait", "a factor is a register that a wgmma still writes")
        right_at = operand_places(wave, right_place, columns, depth, kind, bool(right_major))
        places = [right_at]
        if left_place is None:
            values = [np.broadcast_to(read(wave), wave.lanes) for read in left]
            rows = left_factor(values, wave.warps, kind).reshape(groups, _ROWS, depth)
        else:
            places.append(operand_places(wave, left_place, _ROWS, depth, kind, bool(left_major)))
            rows = fetch(wave, places[-1], kind)
        product = rows @ fetch(wave, right_at, kind).swapaxes(1, 2)
        by_warp = product.reshape(wave.warps, 16, columns)
        for index, target in enumerate(targets):
            low, column = 8 * (index % 4 // 2), 8 * (index // 4) + index % 2
            part = by_warp[:, low : low + 8, column : column + 7 : 2].reshape(-1)
            if keeps.any():
                before = wave.registers.get(target)
                if before is None:
                    raise Fault("register", f"{target} is added to, and nothing wrote it")
                part = np.where(keeps, before.view(np.float32), np.float32(0)) + part
            wave.registers[target] = part.view(np.uint32)
        read = np.unique(np.concatenate([part.reshape(-1) for part in places]))
        wave.shared.hold(read)
        wave.products.begin(Product(frozenset(targets), frozenset(registers), read))
        if wave.counters is not None:
            wave.count("tensor operations", 2 * _ROWS * columns * depth * groups)

    return by_all(instruction, step)


def operand_places(
    wave: Wave, read: Callable[[Wave], Any], rows: int, depth: int, kind: str, transposed: bool
) -> NDArray[np.int64]:
    """(groups, rows, depth, bytes) places of a factor in the shared memory of the wave, by its descriptors.

    A descriptor holds the start, the leading and the stride offset in units of 16 bytes, and the swizzle mode. Rows lie
    in blocks of 8 within which 16-byte pieces are swapped: their number, xor the number of the 128-byte line.
    """
    size = 4 if kind == "tf32" else 2
    by_thread = np.broadcast_to(read(wave), wave.lanes).reshape(-1, GROUP)
    if (by_thread != by_thread[:, :1]).any():
        raise NotEmulated("a descriptor that threads of a warpgroup disagree on")
    descriptors = by_thread[:, 0].astype(np.uint64)
    start, leading, stride = (
        (descriptors >> np.uint64(at) & np.uint64(0x3FFF)).astype(np.int64) * 16 for at in (0, 16, 32)
    )
    modes = set((descriptors >> np.uint64(62)).tolist())
    if len(modes) != 1 or not modes <= set(_PITCH) or (descriptors >> np.uint64(49) & np.uint64(7)).any():
        raise NotEmulated("a descriptor without a swizzle, or with a base offset")
    pitch = _PITCH[modes.pop()]
    row, column = np.arange(rows)[:, None], np.arange(depth)
    start, leading, stride = (number[:, None, None] for number in (start, leading, stride))
    if transposed:  # 8 rows of the other axis
        wide = pitch // size
        at = start + row // wide * leading + column // 8 * stride + column % 8 * pitch + row % wide * size
    else:
        at = start + row // 8 * stride + row % 8 * pitch + column * size
    at = at ^ (at >> 7 & {128: 7, 64: 3, 32: 1}[pitch]) << 4
    if (at < 0).any() or (at + size > wave.shared.limit).any():
        raise Fault("shared bounds", f"a factor of wgmma outside of the {wave.shared.limit} bytes of the block")
    block = wave.block[::GROUP][:, None, None, None]
    places: NDArray[np.int64] = block * wave.shared.size + at[..., None] + np.arange(size)
    return places


def fetch(wave: Wave, places: NDArray[np.int64], kind: str) -> Any:
    """(groups, rows, depth) numbers of a factor."""
    bits = np.ascontiguousarray(wave.shared.multiply(places)).view(np.uint32 if kind == "tf32" else np.uint16)
    return numbers(bits[..., 0], kind)
