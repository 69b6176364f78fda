"""From an instruction to a function that executes it on a wave: the register of what is emulated."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable

from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.parse import Instruction, Program
from trueband.properties.gpu.ptx.wave import Mask, Wave

Step = Callable[[Wave, Mask | None], None]
Decoder = Callable[[Instruction, "re.Match[str]"], Step]

_DECODERS: list[tuple[re.Pattern[str], Decoder]] = []
# Modules that register decoders.
_MODULES = ("integer", "floating", "moves", "copies", "warps", "products", "warpgroups")


def opcode(pattern: str) -> Callable[[Decoder], Decoder]:
    """Register the decoder of the opcodes that a regular expression matches whole."""

    def register(decoder: Decoder) -> Decoder:
        _DECODERS.append((re.compile(pattern), decoder))
        return decoder

    return register


def by_all(instruction: Instruction, step: Step) -> Step:
    """The step of an instruction that all threads take part in."""
    if instruction.predicate is not None:
        raise NotEmulated(f"{instruction.opcode} with a predicate")
    return step


def decode(program: Program) -> list[Step | None]:
    """A step for each instruction; None for those of control flow, which the executor knows.

    Raises:
        NotEmulated: it names the opcode and the line.
    """
    for module in _MODULES:
        importlib.import_module(f"trueband.properties.gpu.ptx.{module}")
    return [_step(instruction) for instruction in program.instructions]


# Versions of a program differ in a line or two, and a step holds nothing of the waves that it has been run on.
@functools.lru_cache(maxsize=1 << 14)
def _step(instruction: Instruction) -> Step | None:
    if instruction.opcode in ("bra", "bra.uni", "ret"):
        return None
    for pattern, decoder in _DECODERS:
        match = pattern.fullmatch(instruction.opcode)
        if match:
            try:
                return decoder(instruction, match)
            except NotEmulated as error:
                raise NotEmulated(f"line {instruction.line}: {error}: {instruction.text}") from None
    raise NotEmulated(f"line {instruction.line}: opcode not emulated: {instruction.opcode}: {instruction.text}")
