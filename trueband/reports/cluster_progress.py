"""Progress of a campaign on a cluster: machines, blocks, cases per second, alarms."""

from __future__ import annotations

import time
from collections.abc import Callable

from trueband.properties.results.record import Record
from trueband.reports.progress import SECONDS_BETWEEN_LINES, CheckProgress, Progress


class ClusterProgress(CheckProgress):
    """The progress of blocks that end on many machines."""

    def __init__(self, total: int, nodes: Callable[[], int], again: Callable[[], int]) -> None:
        """Args:
        nodes: how many machines there are.
        again: how many blocks were lost and run again.
        """
        Progress.__init__(self, total, "blocks")
        self.cases, self.alarms = 0, 0
        self._nodes, self._again, self._start = nodes, again, time.monotonic()

    def finished(self, record: Record) -> None:
        """Count one more block, by the record of its cases."""
        self.cases += record.cases
        self.alarms += not record.passed
        super().finished(record)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._say(f"trueband: {self.done} of {self.total} blocks were run{self._more()}", False)

    def tick(self) -> None:
        """Say that the run goes on, if it is time to. Call it as often as you like."""
        if self._bar is not None:
            self.at(self._more().removeprefix(", "))
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._say(f"{self.done}/{self.total} blocks done{self._more()}", False)

    def _more(self) -> str:
        rate = self.cases / max(time.monotonic() - self._start, 1e-9)
        nodes, again = self._nodes(), self._again()
        lost = f", {again} blocks run again" if again else ""
        return f", {nodes} machine{'s' * (nodes != 1)}, {rate:,.0f} cases/s, {self.alarms} alarms{lost}"
