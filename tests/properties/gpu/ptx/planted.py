"""Faults planted in PTX: what a compiler, or a hand, may get wrong. A test of the emulator has to see each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_DROPPED = "// dropped"


class Planted(NamedTuple):
    """A PTX text with one fault.

    Attributes:
        fault: one of `FAULTS`.
        line: where it is, from 1. number: which of its kind, from 1.
        ptx: the text, with as many lines as before.
    """

    fault: str
    line: int
    number: int
    ptx: str


def _drop(pattern: str) -> Callable[[str], str | None]:
    compiled = re.compile(rf"\s*{pattern}[^;]*;")
    return lambda line: _DROPPED if compiled.fullmatch(line.split("//")[0].rstrip()) else None


def _replace(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Callable[[str], str | None]:
    compiled = re.compile(pattern)
    return lambda line: compiled.sub(by, line, count=1) if compiled.search(line) else None


def _other_layout(match: re.Match[str]) -> str:
    return f"{match[1]}{1 - int(match[2])};"


# name: what it makes of a line, None where it does not apply.
FAULTS: dict[str, Callable[[str], str | None]] = {
    "no barrier": _drop(r"bar\.sync\b"),
    "no wait for copies": _drop(r"cp\.async\.wait_group\b"),
    "no wait for products": _drop(r"wgmma\.wait_group\b"),
    "no fence of products": _drop(r"wgmma\.fence\b"),
    "no fence of the proxy": _drop(r"fence\.proxy\.async\b"),
    "not transposed": _replace(r"(ldmatrix\S+?)\.trans\b", r"\1"),
    "other layout of a factor": _replace(r"(wgmma\.mma_async.*, )([01]);", _other_layout),
    "swapped registers of a factor": _replace(
        r"(mma\.sync\.\S+ *\{[^}]*\}, *\{[^}]*\}, *\{) *([^,}]+?) *, *([^,}]+?) *(\})", r"\1 \3, \2 \4"
    ),
    "swapped factors": _replace(r"(wgmma\.mma_async\S+ \{[^}]*\}), (%rd\d+), (%rd\d+)", r"\1, \3, \2"),
    "wrong shuffle": _replace(r"(shfl\.sync\.bfly\S+\s+%\w+, %\w+, )(\d+)", lambda m: f"{m[1]}{int(m[2]) ^ 3}"),
    "no predicate of a store": _replace(r"@!?%p\d+ (st\.global)", r"\1"),
}


def planted(ptx: str, faults: tuple[str, ...] = tuple(FAULTS)) -> Iterator[Planted]:
    """Every place of every fault, one at a time."""
    lines = ptx.split("\n")
    for fault in faults:
        number = 0
        for at, line in enumerate(lines):
            changed = FAULTS[fault](line)
            if changed is None or changed == line:
                continue
            number += 1
            yield Planted(fault, at + 1, number, "\n".join([*lines[:at], changed, *lines[at + 1 :]]))
