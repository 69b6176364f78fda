"""PTX text to a list of instructions."""

from __future__ import annotations

import bisect
import functools
import re
from dataclasses import dataclass

from trueband.properties.gpu.ptx.findings import NotEmulated


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        opcode: the opcode with its modifiers, such as "ld.global.v4.b32".
        operands: as written; a vector in braces, an address in brackets.
        predicate: register that decides which threads take part, and whether it is negated; None: all do.
        line: the line of the PTX text, from 1.
        text: as written.
    """

    opcode: str
    operands: tuple[str, ...]
    predicate: tuple[str, bool] | None
    line: int
    text: str


@dataclass(frozen=True)
class Program:
    """A kernel.

    Attributes:
        name: the name of the entry.
        parameters: names, in order.
        threads: the number of threads of a block.
        instructions: in order.
        labels: {label: index of the instruction that follows}.
    """

    name: str
    parameters: tuple[str, ...]
    threads: int
    instructions: tuple[Instruction, ...]
    labels: dict[str, int]


_ENTRY = re.compile(r"\.visible \.entry (\w+)\((.*?)\)\s*(.*?)\n\{\n(.*?)\n\}", re.S)
_STATEMENT = re.compile(r"[^;\n]+")
_LABEL = re.compile(r"\s*([$\w]+):(?!:)")
_PREDICATED = re.compile(r"@(!?)(%\w+)\s+")
_DIRECTIVE = re.compile(r"\.|[{}]")


def parse(ptx: str) -> Program:
    """The kernel of a PTX text.

    Raises:
        NotEmulated: there is not one entry with a fixed number of threads, all in one dimension.
    """
    ptx = re.sub(r"//[^\n]*", "", ptx)
    entries = list(_ENTRY.finditer(ptx))
    if len(entries) != 1:
        raise NotEmulated(f"ptx: expected one entry, got {len(entries)}")
    entry = entries[0]
    threads = re.search(r"\.reqntid\s+([\d\s,]+)", entry[3])
    if threads is None:
        raise NotEmulated("ptx: expected an entry with .reqntid, got one without")
    sizes = [int(size) for size in threads[1].split(",")]
    if sizes[0] % 32 or any(size != 1 for size in sizes[1:]):
        raise NotEmulated(f"ptx: expected a multiple of 32 threads in one dimension, got {sizes}")
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    line_ends = [match.start() for match in re.finditer("\n", ptx)]
    for statement in _STATEMENT.finditer(ptx, *entry.span(4)):
        text, start = statement[0], statement.start()
        while label := _LABEL.match(text):
            labels[label[1]] = len(instructions)
            text, start = text[label.end() :], start + label.end()
        start += len(text) - len(text.lstrip())
        text = text.strip()
        if text and not _DIRECTIVE.match(text):
            instructions.append(_instruction(text, bisect.bisect_left(line_ends, start) + 1))
    parameters = tuple(parameter.split()[-1] for parameter in entry[2].split(",") if parameter.strip())
    return Program(entry[1], parameters, sizes[0], tuple(instructions), labels)


@functools.lru_cache(maxsize=1 << 14)  # versions of a program differ in a line or two
def _instruction(text: str, line: int) -> Instruction:
    predicated = _PREDICATED.match(text)
    rest = text[predicated.end() :] if predicated else text
    opcode, *operands = rest.split(None, 1)
    predicate = (predicated[2], bool(predicated[1])) if predicated else None
    return Instruction(opcode, tuple(split(operands[0])) if operands else (), predicate, line, " ".join(text.split()))


def split(text: str) -> list[str]:
    """Operands separated by commas, but for those inside of braces and brackets."""
    parts, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "{[") - (letter in "}]")
        if letter == "," and not depth:
            parts.append(text[begin:at].strip())
            begin = at + 1
    return [*parts, text[begin:].strip()]


def vector(operand: str) -> list[str]:
    """The registers of a vector; a single register is a vector of one."""
    return split(operand[1:-1]) if operand.startswith("{") else [operand]
