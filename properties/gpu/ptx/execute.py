"""Runs a program on the blocks of a grid: control flow, and where a fault happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.decode import decode
from trueband.properties.gpu.ptx.findings import Fault, Finding, NotEmulated
from trueband.properties.gpu.ptx.opcodes import Step
from trueband.properties.gpu.ptx.parse import Instruction, Program
from trueband.properties.gpu.ptx.wave import Wave

# What threads do together, or what they do to themselves alone only if all do it: not in the middle of a divergence.
_TOGETHER = ("bra", "ret", "bar", "shfl", "ldmatrix", "stmatrix", "mma", "wgmma", "cp.async", "fence")
MOST_INSTRUCTIONS = 20_000_000  # of one wave: a loop that does not end


@dataclass(frozen=True)
class Executable:
    """A program and the steps of its instructions.

    Attributes:
        detours: indices of branches that only skip instructions which each thread does for itself. Threads of a block
            may disagree on them: those that skip wait.
    """

    program: Program
    steps: tuple[Step | None, ...]
    detours: frozenset[int]

    @classmethod
    def of(cls, program: Program) -> Executable:
        branches = {
            at: instruction
            for at, instruction in enumerate(program.instructions)
            if instruction.opcode.startswith("bra")
        }
        targets = {program.labels[branch.operands[0]] for branch in branches.values()}
        detours = set()
        for at, branch in branches.items():
            skipped = range(at + 1, program.labels[branch.operands[0]])
            alone = not any(program.instructions[number].opcode.startswith(_TOGETHER) for number in skipped)
            if branch.predicate is not None and skipped and alone and not targets.intersection(skipped):
                detours.add(at)
        return cls(program, tuple(decode(program)), frozenset(detours))


def execute(executable: Executable, wave: Wave) -> None:
    """Run the blocks of a wave to their end. Blocks whose ways part go on one group after the other.

    Raises:
        Finding: the first fault.
        NotEmulated: a branch that threads of one block disagree on, unless it is a detour.
    """
    waiting = [wave]
    with np.errstate(all="ignore"):
        while waiting:
            _advance(executable, waiting.pop(), waiting)


def _advance(executable: Executable, wave: Wave, waiting: list[Wave]) -> None:
    """Run a wave to its end; what splits off waits."""
    program, steps = executable.program, executable.steps
    for _ in range(MOST_INSTRUCTIONS):
        if wave.at == len(steps):
            return
        instruction = program.instructions[wave.at]
        if wave.counters is not None:
            wave.count("instructions", wave.warps)
        try:
            mask = _mask(wave, instruction)
            if wave.at == wave.rejoin:
                wave.apart = None
            elif wave.apart is not None:
                mask = wave.apart if mask is None else mask & wave.apart
            wave.at += 1
            step = steps[wave.at - 1]
            if step is not None:
                if mask is None or mask.all():
                    step(wave, None)
                elif mask.any():
                    step(wave, mask)
                continue
            if instruction.opcode == "ret":
                if mask is None:
                    return
                raise NotEmulated("a return of some threads")
            if mask is not None and wave.at - 1 in executable.detours:
                if not mask.all():
                    wave.apart, wave.rejoin = ~mask, program.labels[instruction.operands[0]]
                    continue
            elif mask is not None:
                taken = _agreed(wave, mask)
                if not taken.any():
                    continue
                if not taken.all():
                    rest = wave.split(~taken)
                    waiting.append(rest)
            wave.at = program.labels[instruction.operands[0]]
        except Fault as fault:
            raise _located(fault, wave, instruction) from None
        except NotEmulated as error:
            raise NotEmulated(f"line {instruction.line}: {error}: {instruction.text}") from None
    raise NotEmulated(f"a loop of more than {MOST_INSTRUCTIONS} instructions")


def _mask(wave: Wave, instruction: Instruction) -> NDArray[np.bool_] | None:
    if instruction.predicate is None:
        return None
    name, negated = instruction.predicate
    mask: NDArray[np.bool_] = wave.read(name)
    return ~mask if negated else mask


def _agreed(wave: Wave, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(blocks,) what all threads of each block say."""
    by_block = mask.reshape(len(wave.blocks), -1)
    if (by_block != by_block[:, :1]).any():
        raise NotEmulated("a branch that threads of one block disagree on")
    agreed: NDArray[np.bool_] = by_block[:, 0]
    return agreed


def _located(fault: Fault, wave: Wave, instruction: Instruction) -> Finding:
    place = "all blocks at this instruction"
    if fault.lane is not None:
        block = tuple(int(index) for index in wave.blocks[wave.block[fault.lane]])
        place = f"block {block}, thread {int(wave.thread[fault.lane])}"
    where = (
        f"{fault.kind}: {fault} ({place}; {wave.program.name}, line {instruction.line} of its PTX: {instruction.text})"
    )
    return Finding(fault.kind, where, instruction.line)
