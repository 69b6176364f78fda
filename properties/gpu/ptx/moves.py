"""Moves between registers, and loads and stores of parameters, global and shared memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.properties.gpu.ptx.counting import count_banks, count_sectors
from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.opcodes import Step, opcode
from trueband.properties.gpu.ptx.parse import Instruction, vector
from trueband.properties.gpu.ptx.wave import TYPES, Mask, Wave, source

_ADDRESS = re.compile(r"\[\s*([%\w$]+)\s*(?:\+\s*(-?\d+)\s*)?\]")


def address(operand: str, space: str) -> Callable[[Wave], Any]:
    """(lanes,) int64 addresses of an operand such as "[ %r1 + 16 ]"."""
    match = _ADDRESS.fullmatch(operand)
    if match is None:
        raise NotEmulated(f"address: expected [register + offset], got {operand}")
    read, offset = source(match[1], "u64" if space == "global" else "u32"), int(match[2] or 0)
    return lambda wave: np.broadcast_to(read(wave).astype(np.int64) + offset, wave.lanes)


def taking(wave: Wave, mask: Mask | None) -> Any:
    """(k,) lanes that take part."""
    return np.arange(wave.lanes) if mask is None else np.flatnonzero(mask)


@opcode(r"ld\.param\.([bsu])(32|64)")
def load_parameter(instruction: Instruction, match: re.Match[str]) -> Step:
    """A signed parameter is widened to the size of its register."""
    target, name = instruction.operands[0], instruction.operands[1].strip("[] ")
    wide = match[2] == "64" or target.startswith("%rd")

    def step(wave: Wave, mask: Mask | None) -> None:
        value = wave.parameters[name]
        if match[1] == "s" and value >> int(match[2]) - 1:
            value -= 1 << int(match[2])
        wave.write(target, np.uint64(value % (1 << 64)) if wide else np.uint32(value % (1 << 32)), mask)

    return step


@opcode(r"mov\.(?:(pred)|[bsuf](16|32|64))")
def move(instruction: Instruction, match: re.Match[str]) -> Step:
    """Also between a register and a vector of its halves, the low one first."""
    kind = match[1] or "b" + match[2]
    target, operand = instruction.operands
    if target.startswith("{"):
        return _unpack(vector(target), operand, kind)
    if operand.startswith("{"):
        return _pack(target, vector(operand), kind)
    read = source(operand, kind)
    return lambda wave, mask: wave.write(target, read(wave), mask)


def _unpack(targets: list[str], register: str, kind: str) -> Step:
    size, read = int(kind[1:]) // len(targets), source(register, kind)
    part = TYPES[f"b{size}"]

    def step(wave: Wave, mask: Mask | None) -> None:
        value = read(wave)
        for index, target in enumerate(targets):
            wave.write(target, (value >> value.dtype.type(index * size)).astype(part), mask)

    return step


def _pack(target: str, parts: list[str], kind: str) -> Step:
    size, whole = int(kind[1:]) // len(parts), TYPES[kind]
    reads = [source(part, f"b{size}") for part in parts]

    def step(wave: Wave, mask: Mask | None) -> None:
        value = whole(0)
        for index, read in enumerate(reads):
            value = value | read(wave).astype(whole) << whole(index * size)
        wave.write(target, value, mask)

    return step


def held(register: str, kind: str, size: int) -> Any:
    """What a loaded value of `size` bytes is widened to: its register may be wider, and its name does not say so."""
    wide = next((bits for name, bits in (("%rd", 64), ("%rs", 16), ("%r", 32)) if register.startswith(name)), 16)
    return TYPES[f"{'s' if kind == 's' else 'u'}{max(8 * size, wide)}"]


@opcode(r"ld\.(global|shared|shared::cta)(?:\.v([24]))?\.([bsuf])(8|16|32|64)")
def load(instruction: Instruction, match: re.Match[str]) -> Step:
    """A value is widened to the size of its register, a signed one with its sign."""
    space, count, size = match[1][:6], int(match[2] or 1), int(match[4]) // 8
    targets, place = vector(instruction.operands[0]), address(instruction.operands[1], space)
    if len(targets) != count:
        raise NotEmulated(f"vector: expected {count} registers, got {len(targets)}")
    dtype = TYPES[f"{'s' if match[3] == 's' else 'u'}{size * 8}"]
    kinds = [held(target, match[3], size) for target in targets]

    def step(wave: Wave, mask: Mask | None) -> None:
        lanes = taking(wave, mask)
        at = place(wave)[lanes]
        data = np.ascontiguousarray(read_bytes(wave, space, at, size * count, lanes)).view(dtype)
        for index, (target, kind) in enumerate(zip(targets, kinds, strict=True)):
            value = np.zeros(wave.lanes, kind)
            value[lanes] = data[:, index]
            wave.write(target, value, mask)

    return step


@opcode(r"st\.(global|shared|shared::cta)(?:\.v([24]))?\.[bsuf](8|16|32|64)")
def store(instruction: Instruction, match: re.Match[str]) -> Step:
    space, count, size = match[1][:6], int(match[2] or 1), int(match[3]) // 8
    place, values = address(instruction.operands[0], space), vector(instruction.operands[1])
    if len(values) != count:
        raise NotEmulated(f"vector: expected {count} registers, got {len(values)}")
    reads = [source(value, f"b{max(size * 8, 16)}") for value in values]

    def step(wave: Wave, mask: Mask | None) -> None:
        lanes = taking(wave, mask)
        at = place(wave)[lanes]
        columns = [np.broadcast_to(read(wave), wave.lanes)[lanes].astype(TYPES[f"b{size * 8}"]) for read in reads]
        write_bytes(wave, space, at, np.stack(columns, axis=1).view(np.uint8), lanes)

    return step


def read_bytes(wave: Wave, space: str, at: Any, size: int, lanes: Any) -> Any:
    """(k, size) bytes that the lanes (k,) load."""
    if space == "global":
        if wave.counters is not None:
            count_sectors(wave, "load", at, size, lanes)
        return wave.memory.load(at, size, lanes, wave.numbers[wave.block[lanes]])
    if wave.counters is not None:
        count_banks(wave, "load", at, size, lanes)
    return wave.shared.load(at, wave.block[lanes], size, lanes, wave.warp[lanes])


def write_bytes(wave: Wave, space: str, at: Any, data: Any, lanes: Any) -> None:
    """The lanes (k,) store (k, size) bytes."""
    if space == "global":
        if wave.counters is not None:
            count_sectors(wave, "store", at, data.shape[1], lanes)
        wave.memory.store(at, data, lanes, wave.numbers[wave.block[lanes]])
        return
    if wave.counters is not None:
        count_banks(wave, "store", at, data.shape[1], lanes)
    wave.shared.store(at, wave.block[lanes], data, lanes, wave.warp[lanes])
