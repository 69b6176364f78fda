"""float32 arithmetic, and conversions between it and the narrow formats.

`ex2.approx`, `lg2.approx`, `rcp.approx` and `div.full` are as exact here as float32 is; the hardware's err by up to
two units in the last place, which the bounds allow. A fused multiply-add is computed in float64 and rounded once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.properties.gpu.ptx.integer import apply
from trueband.properties.gpu.ptx.opcodes import Step, opcode
from trueband.properties.gpu.ptx.parse import Instruction
from trueband.properties.gpu.ptx.wave import Mask, Wave, source

_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.fmax,
    "min": np.fmin,
    "div": np.divide,
}
_ONE: dict[str, Callable[[Any], Any]] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "rcp": np.reciprocal,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}
_SMALLEST = np.finfo(np.float32).smallest_normal


def flushed(value: Any) -> Any:
    """Apply `.ftz`: subnormal numbers become 0 of their sign."""
    return np.where(np.abs(value) < _SMALLEST, np.copysign(np.float32(0), value), value)


@opcode(r"(add|sub|mul|max|min|div)(?:\.(?:rn|full))?(\.ftz)?(\.NaN)?\.f32")
def two_operands(instruction: Instruction, match: re.Match[str]) -> Step:
    operation = _TWO[match[1]]
    if match[3]:  # a NaN is kept, not passed over
        operation = {"max": np.maximum, "min": np.minimum}[match[1]]
    return _counted(apply(instruction, _with_flush(operation, match[2]), "f32", "f32"), "float operations", 1)


@opcode(r"fma\.rn(\.ftz)?\.f32")
def fused(instruction: Instruction, match: re.Match[str]) -> Step:
    def operation(x: Any, y: Any, z: Any) -> Any:
        return (x.astype(np.float64) * y.astype(np.float64) + z).astype(np.float32)

    return _counted(apply(instruction, _with_flush(operation, match[1]), "f32", "f32", "f32"), "float operations", 2)


@opcode(r"(ex2|lg2|rcp|sqrt|rsqrt)\.(?:approx|rn)(\.ftz)?\.f32")
def special(instruction: Instruction, match: re.Match[str]) -> Step:
    return _counted(apply(instruction, _with_flush(_ONE[match[1]], match[2]), "f32"), "special", 1)


@opcode(r"(neg|abs)(\.ftz)?\.f32")
def sign(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, _with_flush(np.negative if match[1] == "neg" else np.abs, match[2]), "f32")


@opcode(r"cvt\.rn\.f32\.([su](?:32|64))")
def from_integer(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, lambda x: x.astype(np.float32), match[1])


@opcode(r"cvt\.rzi\.([su]32)\.f32")
def to_integer(instruction: Instruction, match: re.Match[str]) -> Step:
    limits = np.iinfo(np.int32 if match[1] == "s32" else np.uint32)
    return apply(
        instruction,
        lambda x: np.clip(np.trunc(np.nan_to_num(x.astype(np.float64))), limits.min, limits.max).astype(limits.dtype),
        "f32",
    )


@opcode(r"cvt\.f32\.(bf16|f16)")
def widen(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, widened[match[1]], match[1])


@opcode(r"cvt\.rn\.(bf16|f16)\.f32")
def narrow(instruction: Instruction, match: re.Match[str]) -> Step:
    return apply(instruction, narrowed[match[1]], "f32")


@opcode(r"cvt\.rn\.(bf16|f16)x2\.f32")
def narrow_two(instruction: Instruction, match: re.Match[str]) -> Step:
    """The first operand into the high half, the second into the low."""
    rounded = narrowed[match[1]]
    target, high, low = instruction.operands[0], *(source(operand, "f32") for operand in instruction.operands[1:])
    return lambda wave, mask: wave.write(
        target, rounded(high(wave)).astype(np.uint32) << np.uint32(16) | rounded(low(wave)), mask
    )


def to_bfloat16(value: Any) -> Any:
    """Bits of the nearest bfloat16, ties to even."""
    bits = value.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1)) >> np.uint64(16)).astype(np.uint16)
    return np.where(np.isnan(value), np.uint16(0x7FFF), rounded)


def from_bfloat16(bits: Any) -> Any:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


narrowed: dict[str, Callable[[Any], Any]] = {
    "bf16": to_bfloat16,
    "f16": lambda value: value.astype(np.float16).view(np.uint16),
}
widened: dict[str, Callable[[Any], Any]] = {"bf16": from_bfloat16, "f16": lambda value: value.astype(np.float32)}


def _with_flush(operation: Callable[..., Any], flush: str | None) -> Callable[..., Any]:
    if flush is None:
        return operation
    return lambda *values: flushed(operation(*(flushed(value) for value in values)))


def _counted(step: Step, what: str, amount: int) -> Step:
    """The step, and so many of what it does in each thread."""

    def counted(wave: Wave, mask: Mask | None) -> None:
        if wave.counters is not None:
            wave.count(what, amount * (wave.lanes if mask is None else int(mask.sum())))
        step(wave, mask)

    return counted
