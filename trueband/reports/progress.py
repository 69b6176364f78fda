"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich import progress as rich_progress
from rich.console import Console
from rich.table import Column
from rich.text import Text

from trueband.properties.results.record import Record

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """The progress of a number of things that are done one after the other. Use it in a `with` statement.

    Attributes:
        total: how many there are.
        done: how many are done.
    """

    def __init__(self, total: int, things: str = "", lines: bool = True) -> None:
        """Args:
        things: what is counted, for the lines, such as "checks".
        lines: whether lines are written where stderr is no terminal.
        """
        self.total, self.done = total, 0
        self._things, self._lines = f" {things}" if things else "", lines
        self._last_line = time.monotonic()
        self._bar: rich_progress.Progress | None = None
        if sys.stderr.isatty():
            self._bar = rich_progress.Progress(
                rich_progress.TextColumn("{task.description}", table_column=Column(min_width=48)),
                rich_progress.BarColumn(),
                rich_progress.MofNCompleteColumn(),
                rich_progress.TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,  # which may be a file
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("starting", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, what: str) -> None:
        """Say what is being done."""
        if self._bar is not None:
            self._bar.update(self._task, description=what)

    def advance(self, what: str, line: str = "", wrong: bool = False) -> None:
        """Count one more thing as done.

        Args:
            what: the thing that was done, for a line that is due.
            line: the line that is written in any case.
            wrong: whether that line is of a failure.
        """
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=what)
        if line:
            self._say(line, wrong)
        elif self._bar is None and self._lines and time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._say(f"{self.done}/{self.total}{self._things} done{self._more()}, at {what}", False)

    def show(self, line: str) -> None:
        """Print a line of results on stdout; where that is the terminal of the bar, above it."""
        console = self._bar.console if self._bar is not None and sys.stdout.isatty() else Console(file=sys.stdout)
        console.print(Text(line), soft_wrap=True)

    def _more(self) -> str:
        """The rest of a line on what is done."""
        return ""

    def _say(self, line: str, wrong: bool) -> None:
        self._last_line = time.monotonic()
        if self._bar is not None:
            self._bar.console.print(Text(line), style="red" if wrong else None)
        else:
            print(line, file=sys.stderr, flush=True)


class CheckProgress(Progress):
    """The progress of a run of checks. Failures are named at once, and reported in full when the run is over."""

    def __init__(self, total: int) -> None:
        super().__init__(total, "checks")
        self.cases = 0

    def case(self, check: str, dtype: str) -> None:
        """Count one more case."""
        self.cases += 1
        self.at(f"{dtype} {check}")

    def finished(self, record: Record) -> None:
        """Count one more record."""
        failure = "" if record.passed else f"{record.status.upper()} {record.check} [{record.dtype}]"
        self.advance(f"{record.dtype} {record.check}", failure, wrong=True)

    def _more(self) -> str:
        return f", {self.cases:,} cases"
