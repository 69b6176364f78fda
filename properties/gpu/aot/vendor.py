"""What the readers of compiled code have in common."""

from __future__ import annotations

from typing import NamedTuple


class Own(NamedTuple):
    """What is told in the words of a vendor: see `Code`. `text`: the instructions."""

    registers: int
    spilled: int
    local: bool
    malformed: tuple[str, ...]
    text: str
