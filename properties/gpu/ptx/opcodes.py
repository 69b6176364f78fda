"""The register of opcodes that are emulated: from an instruction to a function that executes it on a wave."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.parse import Instruction
from trueband.properties.gpu.ptx.wave import Mask, Wave

Step = Callable[[Wave, Mask | None], None]
Decoder = Callable[[Instruction, "re.Match[str]"], Step]

_DECODERS: list[tuple[re.Pattern[str], Decoder]] = []


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


# Versions of a program differ in a line or two, and a step holds nothing of the waves that it has been run on.
@functools.lru_cache(maxsize=1 << 14)
def step_of(instruction: Instruction) -> Step | None:
    """The step of an instruction; None for control flow. NotEmulated for an opcode that nobody has registered."""
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
