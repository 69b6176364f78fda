"""Decodes a program into the steps that execute it."""

from __future__ import annotations

# Imported to register the opcodes that they emulate.
from trueband.properties.gpu.ptx import copies, floating, integer, moves, products, warpgroups, warps
from trueband.properties.gpu.ptx.opcodes import Step, step_of
from trueband.properties.gpu.ptx.parse import Program

__all__ = ["copies", "decode", "floating", "integer", "moves", "products", "warpgroups", "warps"]


def decode(program: Program) -> list[Step | None]:
    """A step for each instruction; None for those of control flow, which the executor knows.

    Raises:
        NotEmulated: it names the opcode and the line.
    """
    return [step_of(instruction) for instruction in program.instructions]
