"""What a target can do of the shapes it is led through; what is too much for its time or memory is left out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the process of a target reads this, and must not have what knows the answers
    from trueband.properties.cases.case import Case

NOTABLE = 64.0  # mebibytes: less tells nothing of larger cases


@dataclass
class Guard:
    """Decides before each case whether a target is asked.

    Attributes:
        seconds: the most that one call should take.
        total: the most that all cases should take, `spent` what they have.
        mebibytes: the most that the target's process should grow by.
        too_much: (sizes that cost, why) of the cases that took too long, or did not come to an end.
        growth: (scores of a dense attention, mebibytes) of the call that the process grew most by.
    """

    seconds: float
    total: float
    mebibytes: float
    spent: float = 0.0
    too_much: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    growth: tuple[int, float] = (1, 0.0)

    def against(self, case: Case) -> str:
        """Why a case is left out, in a few words; "" where it is not."""
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
        """Whether that is so much that larger cases may be left out for it."""
        return seconds > self.seconds or mebibytes > NOTABLE

    def tell(self, case: Case, seconds: float, mebibytes: float, failed: str = "") -> None:
        """What the slowest call of a case took, by how much the process has grown in it, and why it came to no end."""
        if failed:
            self.too_much.append((_sizes(case), f"failed: {failed}"))
        elif seconds > self.seconds:
            self.too_much.append((_sizes(case), f"took {seconds:.1f} s, of {self.seconds:g} s for a call"))
        if mebibytes > max(self.growth[1], NOTABLE):
            self.growth = _scores(case), mebibytes


def half_of_memory() -> float:
    """Mebibytes: half of what is free now; without an answer, 2048."""
    try:
        return _kibibytes(Path("/proc/meminfo"), "MemAvailable") / 1024 / 2
    except (OSError, KeyError, ValueError):
        return 2048.0


def resident(process: int | None = None, begin: bool = False) -> float:
    """Mebibytes of a process, this one without a number; 0 where nobody knows.

    Args:
        begin: what it has now, and the most is counted anew from here. Without: the most since then.
    """
    folder = Path(f"/proc/{process or os.getpid()}")
    try:
        if begin and _forgotten(folder):
            return _kibibytes(folder / "status", "VmRSS") / 1024
        return _kibibytes(folder / "status", "VmHWM") / 1024
    except (OSError, KeyError, ValueError):
        return 0.0


def _forgotten(folder: Path) -> bool:
    """Have the system forget the most that a process had; False where it does not let anybody."""
    try:
        (folder / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _kibibytes(file: Path, name: str) -> int:
    lines = dict(line.split(":", 1) for line in file.read_text(encoding="ascii").splitlines())
    return int(lines[name].split()[0])


def _sizes(case: Case) -> tuple[int, ...]:
    return case.tokens, case.heads * case.batch, case.head_dim, min(case.window, case.tokens)


def _scores(case: Case) -> int:
    return case.batch * case.heads * case.tokens**2
