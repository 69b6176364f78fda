"""The suite against many seeded faults, in one process or several; a row for each fault as it is finished."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from trueband.properties.faults.catalog import catalog
from trueband.properties.faults.detection import Detection, detect, kills


@dataclass(frozen=True)
class Row:
    """One fault: how it was noticed first, or, in a matrix, which checks notice it and which do not."""

    fault: str
    detection: Detection | None = None
    killed_by: tuple[str, ...] = ()
    spared_by: tuple[str, ...] = ()
    tier: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.killed_by) or (self.detection is not None and self.detection.caught)

    def to_dict(self) -> dict[str, Any]:
        entry = catalog()[self.fault]
        told = {
            "fault": self.fault,
            "class": entry.kind,
            "level": entry.level,
            "story": entry.story,
            "seen": entry.seen,
            "at_size": entry.at_size,
            "caught": self.caught,
        }
        if self.detection is None:
            return {**told, "killed_by": self.killed_by, "spared_by": self.spared_by}
        return {**told, "tier": self.tier, **asdict(self.detection), "tokens": self.detection.tokens}


def run_fault(name: str, dtypes: tuple[str, ...] | None, tier: str, seed: int, matrix: bool) -> Row:
    """One fault: until the first check fails, or, for a matrix, every check with all its cases."""
    entry = catalog()[name]
    if not matrix:
        detection = detect(entry.trials(dtypes, tier), seed)
        if detection.caught or tier != "quick":
            return Row(name, detection, tier=tier)
        return Row(name, detect(entry.trials(dtypes, "full"), seed), tier="full")  # what is quick was not enough
    outcome: dict[str, bool] = {}
    for place, trial in enumerate(entry.trials(dtypes, tier)):
        if not outcome.get(trial.check):
            fresh = entry.trials(dtypes, tier)[place]  # some faults are kept in the state of a kernel
            outcome[trial.check] = kills(fresh, seed)
    found = tuple(check for check, killed in outcome.items() if killed)
    return Row(name, None, found, tuple(check for check in outcome if check not in found))


def run_faults(
    names: Sequence[str], dtypes: tuple[str, ...] | None, tier: str, seed: int = 0, jobs: int = 1, matrix: bool = False
) -> Iterator[Row]:
    """Rows of faults by name, as they are finished. With one job they run in this process, in order."""
    if jobs == 1:
        for name in names:
            yield run_fault(name, dtypes, tier, seed, matrix)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    try:
        for done in as_completed([pool.submit(run_fault, name, dtypes, tier, seed, matrix) for name in names]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
