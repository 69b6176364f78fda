"""The driver's loop on a scheduler of the test's own: order, loss, cancellation, and what is in flight."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueband.cluster.driver import AHEAD, TRIES, Driver, Lost


class FakeScheduler:
    """Slots that end when the test says so.

    Attributes:
        lose: how many times each job is still to be lost.
        pick: which of the running jobs end in a round, by their place.
        submitted, canceled: jobs, in order.
    """

    def __init__(self, slots: list[int], lose: dict[int, int] | None = None, pick: list[int] | None = None) -> None:
        self._slots, self.lose, self.pick = slots, dict(lose or {}), pick or [0]
        self.submitted: list[int] = []
        self.canceled: list[int] = []
        self.most = 0
        self._jobs: dict[str, int] = {}
        self._round = 0

    def slots(self) -> int:
        return self._slots[min(self._round, len(self._slots) - 1)]

    def submit(self, job: int) -> str:
        self.submitted.append(job)
        handle = f"handle {len(self.submitted)}"
        self._jobs[handle] = job
        return handle

    def wait(self, handles: list[str], seconds: float) -> list[str]:
        self.most = max(self.most, len(handles))
        self._round += 1
        return [handles[self.pick[self._round % len(self.pick)] % len(handles)]]

    def result(self, handle: str) -> Any:
        job = self._jobs[handle]
        if self.lose.get(job, 0):
            self.lose[job] -= 1
            raise Lost("its machine has gone")
        return job * 10

    def cancel(self, handle: str) -> None:
        self.canceled.append(self._jobs[handle])


@given(
    jobs=st.integers(0, 30),
    slots=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    lose=st.dictionaries(st.integers(0, 29), st.integers(1, TRIES - 1)),
    pick=st.lists(st.integers(0, 20), min_size=1, max_size=8),
)
def test_every_job_gives_one_result_whatever_is_lost(
    jobs: int, slots: list[int], lose: dict[int, int], pick: list[int]
) -> None:
    scheduler = FakeScheduler(slots, lose, pick)
    driver: Driver[int] = Driver(scheduler)
    results = list(driver.run(range(jobs)))
    assert sorted(results) == [(job, job * 10) for job in range(jobs)]
    lost = sum(times for job, times in lose.items() if job < jobs)
    assert driver.again == lost
    assert len(scheduler.submitted) == jobs + lost
    assert driver.abandoned == []
    assert scheduler.canceled == []
    assert driver.running == 0
    assert scheduler.most <= max(1, AHEAD * max(slots))


def test_a_job_that_is_always_lost_is_given_up_and_the_others_run() -> None:
    scheduler = FakeScheduler([2], {1: 1000})
    driver: Driver[int] = Driver(scheduler)
    assert [job for job, _ in driver.run(range(4))] == [0, 2, 3]
    assert driver.abandoned == [(1, "its machine has gone")]
    assert Counter(scheduler.submitted)[1] == TRIES


def test_what_is_useless_is_not_handed_out_and_what_runs_of_it_is_canceled() -> None:
    scheduler = FakeScheduler([2])
    driver: Driver[int] = Driver(scheduler)
    useless: set[int] = set()
    seen = []
    for job, _ in driver.run(range(10), useless.__contains__):
        seen.append(job)
        if job == 1:
            useless.update({3, 4, 7})  # 3 and 4 are in flight
    assert seen == [0, 1, 2, 5, 6, 8, 9]
    assert scheduler.canceled == [3, 4]
    assert 7 not in scheduler.submitted


def test_a_job_that_was_lost_and_became_useless_is_not_run_again() -> None:
    scheduler = FakeScheduler([1], {0: 1})
    driver: Driver[int] = Driver(scheduler)
    useless: set[int] = set()
    jobs = driver.run([0, 1, 2], useless.__contains__)
    assert next(jobs) == (1, 10)
    useless.add(0)
    assert list(jobs) == [(2, 20)]


def test_closing_cancels_what_runs() -> None:
    scheduler = FakeScheduler([3])
    driver: Driver[int] = Driver(scheduler)
    jobs = driver.run(range(100))
    assert next(jobs) == (0, 0)
    jobs.close()
    assert scheduler.canceled == [1, 2, 3, 4, 5]
    assert driver.running == 0


@pytest.mark.parametrize("error", [ValueError("expected the target to load"), KeyboardInterrupt()])
def test_another_error_ends_the_run_and_cancels_what_runs(error: BaseException) -> None:
    scheduler = FakeScheduler([2])

    def result(handle: str) -> Any:
        raise error

    scheduler.result = result  # type: ignore[method-assign]
    driver: Driver[int] = Driver(scheduler)
    with pytest.raises(type(error)):
        list(driver.run(range(10)))
    assert scheduler.canceled == [1, 2, 3]


def test_it_says_that_it_waits() -> None:
    scheduler = FakeScheduler([1])
    waits: list[int] = []
    list(Driver[int](scheduler).run(range(5), on_wait=lambda: waits.append(1)))
    assert len(waits) == 5


def test_jobs_are_taken_as_slots_come_free() -> None:
    taken = []

    def jobs() -> Any:
        for job in range(1000):
            taken.append(job)
            yield job

    run = Driver[int](FakeScheduler([3])).run(jobs())
    next(run)
    assert len(taken) == 6
    run.close()
