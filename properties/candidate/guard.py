"""Leaves out the shapes that would take a target too much time or memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trueband.properties.cases.windows import widest

if TYPE_CHECKING:  # the process of a target reads this, and must not have what knows the answers
    from trueband.properties.cases.case import Case

NOTABLE = 64.0  # mebibytes: less says nothing about larger cases


@dataclass
class Guard:
    """A guard that decides before each case whether the target is run.

    Attributes:
        seconds: the most that one call should take.
        total: the most that all cases should take; `spent` is what they have taken.
        mebibytes: the most that the target's process should grow by.
        too_much: (sizes that cost, reason) of the cases that took too long or failed.
        growth: (scores of a dense attention, mebibytes) of the call in which the process grew most.
    """

    seconds: float
    total: float
    mebibytes: float
    spent: float = 0.0
    too_much: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    growth: tuple[int, float] = (1, 0.0)

    def against(self, case: Case) -> str:
        """Return why a case is left out, in a few words; "" where it is not."""
        if self.spent > self.total:
            return f"cheaper ones took the {self.total:g} s of this check"
        sizes = _sizes(case)
        for smaller, why in self.too_much:
            if all(size >= bound for size, bound in zip(sizes, smaller, strict=True)):
                return f"a smaller one {why}"
        scores, grown = self.growth
        expected = grown * max(_scores(case) / scores, 1.0)
        if expected > self.mebibytes:
            return f"a smaller one took {grown:,.0f} MiB, and it would take about {expected:,.0f} MiB"
        return ""

    def minds(self, seconds: float, mebibytes: float) -> bool:
        """Return whether larger cases may be left out because a call took this much."""
        return seconds > self.seconds or mebibytes > NOTABLE

    def tell(self, case: Case, seconds: float, mebibytes: float, failed: str = "") -> None:
        """Note what the slowest call of a case took, how much the process grew in it, and why it failed."""
        if failed:
            self.too_much.append((_sizes(case), f"failed: {failed}"))
        elif seconds > self.seconds:
            self.too_much.append((_sizes(case), f"took {seconds:.1f} s, of {self.seconds:g} s for a call"))
        if mebibytes > max(self.growth[1], NOTABLE):
            self.growth = _scores(case), mebibytes


def half_of_memory() -> float:
    """Return half of the free memory in mebibytes; 2048 where the system does not say."""
    try:
        return _kibibytes(Path("/proc/meminfo"), "MemAvailable") / 1024 / 2
    except (OSError, KeyError, ValueError):
        return 2048.0


def resident(process: int | None = None, begin: bool = False) -> float:
    """Return the peak memory of a process in mebibytes; 0 where the system does not say.

    Args:
        process: its id; None: this process.
        begin: return what it has now, and start a new peak.
    """
    folder = Path(f"/proc/{process or os.getpid()}")
    try:
        if begin and _forgotten(folder):
            return _kibibytes(folder / "status", "VmRSS") / 1024
        return _kibibytes(folder / "status", "VmHWM") / 1024
    except (OSError, KeyError, ValueError):
        return 0.0


def _forgotten(folder: Path) -> bool:
    """Reset the peak memory of a process; return False where the system forbids that."""
    try:
        (folder / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _kibibytes(file: Path, name: str) -> int:
    lines = dict(line.split(":", 1) for line in file.read_text(encoding="ascii").splitlines())
    return int(lines[name].split()[0])


def _sizes(case: Case) -> tuple[int, ...]:
    return case.tokens, case.heads * case.batch, case.head_dim, min(widest(case.window, case.tokens), case.tokens)


def _scores(case: Case) -> int:
    return case.batch * case.heads * case.tokens**2
