"""Messages lead to the cause: each check is made to fail by a seeded fault, and what it says is read."""

from __future__ import annotations

import re

import pytest

from trueband.properties.checks import CHECKS
from trueband.properties.faults import FAULTS, Fault
from trueband.properties.faults.detection import operator_trials
from trueband.properties.running.search import Failure

EXAMPLES = 60
# A number without an origin, an index of nothing, a phrase that runs into an index, words about NaN that say nothing.
NONSENSE = (
    r"expected nan",
    r"\[\]",
    r"\d\[",
    r"error nan",
    r"error/bound (nan|inf)",
    r"= -?0, expected 0 ",
    r" $",
    r"None",
)


def failure(check: str, fault: Fault) -> Failure | None:
    (trial,) = (one for one in operator_trials(fault.target, ("float32",), "quick", EXAMPLES) if one.check == check)
    last = max(number for number, cases in enumerate(trial.cases) if cases)
    return trial.search(last, 1, False).failure


def first_failure(check: str) -> Failure | None:
    """Of a fault that is seeded for the check, the one that tells most first."""
    seeded = [
        fault
        for fault in FAULTS.values()
        if check in fault.killed_by and CHECKS[check].applies_to(fault.target.resolved().features or ())
    ]
    for fault in sorted(seeded, key=lambda fault: fault.killed_by.index(check)):
        found = failure(check, fault)
        if found is not None:
            return found
    return None


@pytest.mark.evidence
@pytest.mark.parametrize("check", [name for name in CHECKS if any(name in one.killed_by for one in FAULTS.values())])
def test_a_failure_says_what_was_compared(check: str) -> None:
    found = first_failure(check)
    assert found is not None
    assert [nonsense for nonsense in NONSENSE if re.search(nonsense, found.message)] == []
    assert "\n" not in found.message


def test_the_nan_that_was_swallowed_is_named() -> None:
    found = failure("nan_is_seen", FAULTS["nan_replaced"])
    assert found is not None
    told = (
        r"row (\d+) attends token (\d+), whose value is NaN, but its output is finite: \S+ \(sequence \d+, head \d+\)"
    )
    assert re.fullmatch(told, found.message)
