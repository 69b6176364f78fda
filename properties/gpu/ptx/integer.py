"""Integers, bits, predicates, comparisons and selections."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.properties.gpu.ptx.findings import NotEmulated, refuse
from trueband.properties.gpu.ptx.opcodes import Step, opcode
from trueband.properties.gpu.ptx.parse import Instruction
from trueband.properties.gpu.ptx.wave import TYPES, Mask, Read, Wave, source

_WIDER: dict[str, Any] = {"s16": np.int32, "u16": np.uint32, "s32": np.int64, "u32": np.uint64}
_BITS: dict[str, Callable[[Any, Any], Any]] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul.lo": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}


def apply(instruction: Instruction, function: Callable[..., Any], *kinds: str) -> Step:
    """A step that writes a function of the operands after the first, read as they are of `kinds`."""
    target = instruction.operands[0]
    reads = [source(operand, kind) for operand, kind in zip(instruction.operands[1:], kinds, strict=True)]
    if len(reads) == 2:
        first, second = reads
        return lambda wave, mask: wave.write(target, function(first(wave), second(wave)), mask)
    return lambda wave, mask: wave.write(target, function(*[read(wave) for read in reads]), mask)


@opcode(r"(add|sub|mul\.lo|max|min)\.([su](?:16|32|64))")
def arithmetic(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, _ARITHMETIC[match[1]], match[2], match[2])


@opcode(r"(div|rem)\.([su](?:32|64))")
def division(instruction: Instruction, match: re.Match[str]) -> Step:
    """Towards 0, unlike NumPy's."""
    target, (first, second) = instruction.operands[0], _two(instruction, match[2])
    remainder = match[1] == "rem"

    def step(wave: Wave, mask: Mask | None) -> None:
        x, y = np.broadcast_to(first(wave), wave.lanes), np.broadcast_to(second(wave), wave.lanes)
        zero = y == 0
        taking = np.arange(wave.lanes) if mask is None else np.flatnonzero(mask)
        refuse("division", zero[taking], taking, "an integer is divided by zero")
        y = np.where(zero, y.dtype.type(1), y)
        quotient = x // y
        quotient = quotient + ((x - quotient * y != 0) & ((x < 0) != (y < 0))).astype(x.dtype)
        wave.write(target, x - quotient * y if remainder else quotient, mask)

    return step


@opcode(r"mul\.wide\.([su](?:16|32))")
def multiply_wide(instruction: Instruction, match: re.Match[str]) -> Step:
    wide = _WIDER[match[1]]
    return apply(instruction, lambda x, y: x.astype(wide) * y.astype(wide), match[1], match[1])


@opcode(r"mad\.wide\.([su]32)")
def multiply_wide_and_add(instruction: Instruction, match: re.Match[str]) -> Step:
    wide = _WIDER[match[1]]
    kinds = (match[1], match[1], match[1][0] + "64")
    return apply(instruction, lambda x, y, z: x.astype(wide) * y.astype(wide) + z, *kinds)


@opcode(r"mad\.lo\.([su](?:32|64))")
def multiply_and_add(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, lambda x, y, z: x * y + z, match[1], match[1], match[1])


@opcode(r"mul\.hi\.([su]32)")
def multiply_high(instruction: Instruction, match: re.Match[str]) -> Step:
    wide, kind = _WIDER[match[1]], TYPES[match[1]]
    return apply(instruction, lambda x, y: (x.astype(wide) * y.astype(wide) >> 32).astype(kind), match[1], match[1])


@opcode(r"neg\.(s(?:16|32|64))")
def negate(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, np.negative, match[1])


@opcode(r"abs\.(s(?:32|64))")
def absolute(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, np.abs, match[1])


@opcode(r"(and|or|xor)\.(b16|b32|b64|pred)")
def bits(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, _BITS[match[1]], match[2], match[2])


@opcode(r"not\.(b16|b32|b64|pred)")
def complement(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, np.invert, match[1])


@opcode(r"(shl|shr)\.([bsu])(16|32|64)")
def shift(instruction: Instruction, match: re.Match[str]) -> Step:
    """A shift by the size or more leaves 0, or the sign."""
    size, kind = int(match[3]), ("s" if match[1] == "shr" and match[2] == "s" else "u") + match[3]
    operation = np.left_shift if match[1] == "shl" else np.right_shift

    def shifted(value: Any, by: Any) -> Any:
        beyond = by >= size
        result = operation(value, np.where(beyond, size - 1, by).astype(value.dtype))
        return result if kind[0] == "s" else np.where(beyond, value.dtype.type(0), result)

    return apply(instruction, shifted, kind, "u32")


@opcode(r"bfe\.([su])32")
def bit_field(instruction: Instruction, match: re.Match[str]) -> Step:
    position, length = (_fixed(operand) for operand in instruction.operands[2:])
    target, read = instruction.operands[0], source(instruction.operands[1], "u32")
    if not 0 < length <= 32 - position:
        raise NotEmulated("bfe: expected a field inside of the register")

    def step(wave: Wave, mask: Mask | None) -> None:
        value = read(wave).astype(np.int64) >> position & (1 << length) - 1
        if match[1] == "s":
            value = value - ((value >> length - 1) << length)
        wave.write(target, value.astype(np.int32), mask)

    return step


@opcode(r"prmt\.b32")
def permute_bytes(instruction: Instruction, match: re.Match[str]) -> Step:
    selector = _fixed(instruction.operands[3])
    target, (first, second) = instruction.operands[0], _two(instruction, "u32")

    def step(wave: Wave, mask: Mask | None) -> None:
        sources = [
            value >> np.uint32(8 * byte) & np.uint32(0xFF) for value in (first(wave), second(wave)) for byte in range(4)
        ]
        result = np.zeros(wave.lanes, np.uint32)
        for byte in range(4):
            chosen = selector >> 4 * byte
            value = sources[chosen & 7]
            if chosen & 8:  # its sign, eight times
                value = (value >> np.uint32(7)) * np.uint32(0xFF)
            result = result | value << np.uint32(8 * byte)
        wave.write(target, result, mask)

    return step


@opcode(r"setp\.(lt|le|gt|ge|eq|ne|lo|ls|hi|hs)\.([bsu](?:16|32|64))")
def compare(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, _COMPARISONS[match[1]], match[2], match[2])


@opcode(r"setp\.(lt|le|gt|ge|eq|ne|num|nan)(u?)(?:\.ftz)?\.f32")
def compare_floating(instruction: Instruction, match: re.Match[str]) -> Step:
    """Compare floating-point numbers. With u, a comparison with NaN holds; without it, none does."""
    comparison, unordered = match[1], bool(match[2])

    def compared(x: Any, y: Any) -> Any:
        neither = np.isnan(x) | np.isnan(y)
        if comparison in ("num", "nan"):
            return neither if comparison == "nan" else ~neither
        return np.where(neither, unordered, _COMPARISONS[comparison](x, y))

    return apply(instruction, compared, "f32", "f32")


@opcode(r"selp\.(b16|u16|s16|b32|f32|s32|u32|b64|s64|u64)")
def select(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, lambda x, y, where: np.where(where, x, y), match[1], match[1], "pred")


@opcode(r"cvt\.(s64|u64|s32|u32|s16|u16)\.(s64|u64|s32|u32|s16|u16|s8|u8)")
def convert(instruction: Instruction, match: re.Match[str]) -> Step:
    """Between integers: widened by the sign of the source's type, or cut off."""
    result, origin = TYPES[match[1]], TYPES[match[2]]
    if origin().itemsize == 1:  # registers have no less than 16 bits: the low byte of one
        return apply(instruction, lambda x: x.astype(origin).astype(result), "u16")
    return apply(instruction, lambda x: x.astype(result), match[2])


def _two(instruction: Instruction, kind: str) -> tuple[Read, Read]:
    return source(instruction.operands[1], kind), source(instruction.operands[2], kind)


def _fixed(operand: str) -> int:
    """An operand that has to be a number."""
    try:
        return int(operand.rstrip("U"), 0)
    except ValueError:
        raise NotEmulated(f"operand: expected a number, got {operand!r}") from None
