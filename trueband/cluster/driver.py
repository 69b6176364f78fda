"""The driver's loop: hands jobs out, collects their results, and runs again what was lost with a machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Job = TypeVar("Job")
AHEAD = 2  # jobs for each slot: the next one waits beside the one that runs
TRIES = 5  # of a job whose machine is lost each time
SECONDS = 0.5  # between two looks at what has changed without a result


class Lost(Exception):
    """A job ended with its machine or its process, and left no result."""


class Scheduler(Protocol):
    """Where jobs run."""

    def slots(self) -> int:
        """How many jobs can run at the same time now; 0 while no machine is there."""
        ...

    def submit(self, job: Any) -> Any:
        """Hand a job out, and return a handle for it."""
        ...

    def wait(self, handles: list[Any], seconds: float) -> list[Any]:
        """Those of the handles that have ended, after one has, or after so many seconds."""
        ...

    def result(self, handle: Any) -> Any:
        """What a job that has ended gave. `Lost` if it gave nothing; what else it raises ends the run."""
        ...

    def cancel(self, handle: Any) -> None:
        """Stop a job. Its result is not asked for."""
        ...


@dataclass
class _Tried(Generic[Job]):
    job: Job
    tries: int


class Driver(Generic[Job]):
    """Runs jobs on a scheduler.

    Attributes:
        running: how many jobs are handed out.
        again: how many times a job was handed out again.
        abandoned: jobs that were lost `TRIES` times, with the last reason.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._flying: dict[Any, _Tried[Job]] = {}
        self.again = 0
        self.abandoned: list[tuple[Job, str]] = []

    @property
    def running(self) -> int:
        return len(self._flying)

    def run(
        self,
        jobs: Iterable[Job],
        useless: Callable[[Job], bool] = lambda _: False,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Generator[tuple[Job, Any], None, None]:
        """Every job with its result, as they end. What still runs when the iterator is closed is canceled.

        Args:
            useless: whether nothing is to be learned from a job any more; asked again after every result.
            on_wait: called several times a second, and with every result.
        """
        waiting, lost = iter(jobs), deque[_Tried[Job]]()
        try:
            while True:
                self._hand_out(waiting, lost, useless)
                if not self._flying:
                    return
                ended = self._scheduler.wait(list(self._flying), SECONDS)
                on_wait()
                for handle in ended:
                    if handle not in self._flying:  # canceled after a result before it
                        continue
                    tried = self._flying.pop(handle)
                    try:
                        result = self._scheduler.result(handle)
                    except Lost as error:
                        self._lose(tried, str(error), lost)
                        continue
                    yield tried.job, result
                    self._cancel(useless)
        finally:
            self._cancel(lambda _: True)

    def _hand_out(self, waiting: Iterator[Job], lost: deque[_Tried[Job]], useless: Callable[[Job], bool]) -> None:
        most = max(AHEAD * self._scheduler.slots(), 1)
        while len(self._flying) < most:
            tried = lost.popleft() if lost else next((_Tried(job, 1) for job in waiting), None)
            if tried is None:
                return
            if not useless(tried.job):
                self._flying[self._scheduler.submit(tried.job)] = tried

    def _lose(self, tried: _Tried[Job], reason: str, lost: deque[_Tried[Job]]) -> None:
        if tried.tries >= TRIES:
            self.abandoned.append((tried.job, reason))
            return
        self.again += 1
        lost.append(_Tried(tried.job, tried.tries + 1))

    def _cancel(self, which: Callable[[Job], bool]) -> None:
        for handle in [handle for handle, tried in self._flying.items() if which(tried.job)]:
            del self._flying[handle]
            self._scheduler.cancel(handle)
