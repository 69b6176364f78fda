"""The common part of the readers of compiled code."""

from __future__ import annotations

from typing import NamedTuple


class Own(NamedTuple):
    """The fields of `Code` that each vendor names in its own way. `text`: the instructions."""

    registers: int
    spilled: int
    local: bool
    malformed: tuple[str, ...]
    text: str
