"""cp.async: copies from global to shared memory that run beside the threads."""

from __future__ import annotations

import re

import numpy as np

from trueband.properties.gpu.ptx.asynchronous import Copy
from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.moves import address, read_bytes, taking
from trueband.properties.gpu.ptx.opcodes import Step, by_all, opcode
from trueband.properties.gpu.ptx.parse import Instruction
from trueband.properties.gpu.ptx.wave import Mask, Wave, source


@opcode(r"cp\.async\.(ca|cg)\.shared(?:::cta)?\.global")
def copy(instruction: Instruction, match: re.Match[str]) -> Step:
    """Bytes beyond the source size of a thread become 0."""
    to, source_address = address(instruction.operands[0], "shared"), address(instruction.operands[1], "global")
    size = int(instruction.operands[2], 0)
    wanted = source(instruction.operands[3] if len(instruction.operands) > 3 else str(size), "u32")

    def step(wave: Wave, mask: Mask | None) -> None:
        lanes = taking(wave, mask)
        wants = np.broadcast_to(wanted(wave), wave.lanes)[lanes]
        if ((wants != 0) & (wants != size)).any():
            raise NotEmulated("cp.async of a part of its size")
        loading = wants == size
        data = np.zeros((len(lanes), size), np.uint8)
        if loading.any():
            data[loading] = read_bytes(wave, "global", source_address(wave)[lanes[loading]], size, lanes[loading])
        warps = wave.warp[lanes]
        places = wave.shared.fly(to(wave)[lanes], wave.block[lanes], size, lanes, warps)
        wave.copies.open.append(Copy(places, data, warps))
        if wave.counters is not None:
            wave.count("copied bytes", data.size)

    return step


@opcode(r"cp\.async\.commit_group")
def commit(instruction: Instruction, match: re.Match[str]) -> Step:
    def step(wave: Wave, mask: Mask | None) -> None:
        wave.copies.groups.append(wave.copies.open)
        wave.copies.open = []

    return by_all(instruction, step)


@opcode(r"cp\.async\.wait_group|cp\.async\.wait_all")
def wait(instruction: Instruction, match: re.Match[str]) -> Step:
    most = int(instruction.operands[0], 0) if instruction.operands else 0

    def step(wave: Wave, mask: Mask | None) -> None:
        if not instruction.operands:
            wave.copies.groups.append(wave.copies.open)
            wave.copies.open = []
        while len(wave.copies.groups) > most:
            for pending in wave.copies.groups.pop(0):
                wave.shared.land(pending.places, pending.data, pending.warps)

    return by_all(instruction, step)
