"""Operations of a whole warp: barriers, shuffles, and 8x8 matrices between registers and shared memory."""

from __future__ import annotations

import re

import numpy as np

from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.moves import address, read_bytes, write_bytes
from trueband.properties.gpu.ptx.opcodes import Step, by_all, opcode
from trueband.properties.gpu.ptx.parse import Instruction, vector
from trueband.properties.gpu.ptx.wave import WARP, Mask, Wave, source

_ROW = 16  # bytes of a row of an 8x8 matrix


@opcode(r"bar\.sync|barrier\.sync(?:\.aligned)?")
def barrier(instruction: Instruction, match: re.Match[str]) -> Step:
    if instruction.operands not in (("0",), ()) or instruction.predicate:
        raise NotEmulated("a barrier of some of the threads")
    return lambda wave, mask: wave.shared.barrier()


@opcode(r"bar\.warp\.sync")
def warp_barrier(instruction: Instruction, match: re.Match[str]) -> Step:
    return lambda wave, mask: None  # threads of a warp run in lockstep here


@opcode(r"shfl\.sync\.(bfly|idx|up|down)\.b32")
def shuffle(instruction: Instruction, match: re.Match[str]) -> Step:
    """A thread whose source is outside of its segment keeps its own value."""
    if instruction.predicate or "|" in instruction.operands[0]:
        raise NotEmulated("a shuffle with a predicate")
    target = instruction.operands[0]
    value, by, limits = (source(operand, "b32") for operand in instruction.operands[1:4])
    if instruction.operands[4] not in ("-1", "0xffffffff", "0xFFFFFFFF"):
        raise NotEmulated(f"a shuffle among some threads of a warp, {instruction.operands[4]}")

    def step(wave: Wave, mask: Mask | None) -> None:
        lane = (wave.thread % WARP).astype(np.int64)
        shift, limit = (np.broadcast_to(read(wave), wave.lanes).astype(np.int64) for read in (by, limits))
        segment, clamp = limit >> 8 & 31, limit & 31
        last = lane & segment | clamp & ~segment
        if match[1] == "bfly":
            wanted, inside = lane ^ shift & 31, None
        elif match[1] == "idx":
            wanted, inside = lane & segment | shift & 31 & ~segment, None
        elif match[1] == "up":
            wanted = lane - (shift & 31)
            inside = wanted >= last
        else:
            wanted, inside = lane + (shift & 31), None
        inside = wanted <= last if inside is None else inside
        wanted = np.where(inside, wanted, lane)
        whole = np.arange(wave.lanes) - lane
        wave.write(target, np.broadcast_to(value(wave), wave.lanes)[whole + wanted], mask)

    return step


@opcode(r"ldmatrix\.sync\.aligned\.m8n8\.x([124])(\.trans)?\.shared(?:::cta)?\.b16")
def load_matrices(instruction: Instruction, match: re.Match[str]) -> Step:
    """Eight threads give the rows of a matrix; each thread gets two numbers of each, next to each other in a row."""
    count, targets = int(match[1]), vector(instruction.operands[0])
    place = address(instruction.operands[1], "shared")

    def step(wave: Wave, mask: Mask | None) -> None:
        lanes = _giving(wave, count)
        data = read_bytes(wave, "shared", place(wave)[lanes], _ROW, lanes)
        matrices = np.ascontiguousarray(data).view(np.uint16).reshape(wave.warps, count, 8, 8)
        if match[2]:
            matrices = matrices.swapaxes(2, 3)
        registers = np.ascontiguousarray(matrices).view(np.uint32)
        for index, target in enumerate(targets):
            wave.write(target, registers[:, index].reshape(-1), mask)

    return by_all(instruction, step)


@opcode(r"stmatrix\.sync\.aligned\.m8n8\.x([124])(\.trans)?\.shared(?:::cta)?\.b16")
def store_matrices(instruction: Instruction, match: re.Match[str]) -> Step:
    """The way back of `ldmatrix`."""
    count, place = int(match[1]), address(instruction.operands[0], "shared")
    reads = [source(register, "b32") for register in vector(instruction.operands[1])]

    def step(wave: Wave, mask: Mask | None) -> None:
        lanes = _giving(wave, count)
        registers = np.stack(
            [np.broadcast_to(read(wave), wave.lanes).reshape(wave.warps, WARP) for read in reads], axis=1
        )
        matrices = registers.view(np.uint16).reshape(wave.warps, count, 8, 8)
        if match[2]:
            matrices = matrices.swapaxes(2, 3)
        data = np.ascontiguousarray(matrices).reshape(-1, 8).view(np.uint8)
        write_bytes(wave, "shared", place(wave)[lanes], data, lanes)

    return by_all(instruction, step)


def _giving(wave: Wave, count: int) -> np.ndarray:
    """Lanes that give the addresses of rows: the first 8 of each warp for one matrix, 16 for two, all for four."""
    return np.flatnonzero(wave.thread % WARP < 8 * count)
