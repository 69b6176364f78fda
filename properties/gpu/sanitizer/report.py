"""The report of a run of the sanitizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trueband.properties.gpu.sanitizer.finding import Finding
from trueband.properties.gpu.sanitizer.fresh import FreshMemory
from trueband.properties.gpu.sanitizer.launch import Launch, merged


class Report:
    """Launches so far.

    Attributes:
        launches, accesses: how many there were; an access is one load, store or atomic operation of one program.
        unchecked: lanes whose address came from memory, which belong to no argument.
        kernels: their names.
        fresh: memory that nothing has written.
        on_launch: called at the end of each launch, with the faults that no launch before had.
    """

    def __init__(self) -> None:
        self.launches, self.accesses, self.unchecked = 0, 0, 0
        self.kernels: set[str] = set()
        self.fresh = FreshMemory()
        self.on_launch: Callable[[list[Finding]], None] = lambda _: None
        self._findings: dict[tuple[Any, ...], Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """Each fault once: the first time that it was seen, and how often it was."""
        return list(self._findings.values())

    def add(self, launch: Launch) -> None:
        """A launch that has ended."""
        self.unchecked += launch.unchecked
        new = [finding for finding in launch.findings.values() if finding.key not in self._findings]
        for finding in launch.findings.values():
            merged(self._findings, finding)
        self.on_launch(new)
