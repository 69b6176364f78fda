"""Every check kills the faults it is claimed to kill, every fault dies, and a correct kernel passes them all."""

from __future__ import annotations

import pytest

from trueband.properties.checks import CHECKS
from trueband.properties.engine import SMALL, Plan, run_check, run_small_world
from trueband.properties.faults import FAULTS, Specimen, target_of
from trueband.properties.runner import Runner

PAIRS = [(fault.name, check) for fault in FAULTS.values() for check in fault.killed_by]


def plan(name: str) -> Plan:
    return Plan(name, ("float32",), 1, ("float32",), ())


@pytest.mark.parametrize(("fault", "check"), PAIRS)
def test_a_check_kills_the_faults_it_is_claimed_to_kill(fault: str, check: str) -> None:
    record = run_check(plan(fault), CHECKS[check], Runner(FAULTS[fault].target), "float32", 400)
    assert record.status in ("failed", "cheating"), record
    assert record.case is not None
    assert record.case["tokens"] <= SMALL
    assert record.message


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_a_fault_to_kill(check: str) -> None:
    assert any(check in fault.killed_by for fault in FAULTS.values())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_every_fault_is_seeded_for_a_check_and_says_what_is_wrong(fault: object) -> None:
    assert fault.killed_by  # type: ignore[attr-defined]
    assert fault.story  # type: ignore[attr-defined]
    assert set(fault.killed_by) <= set(CHECKS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("rejects_bad_input", "nan_stays_local")])
def test_a_correct_kernel_passes(check: str, dtype: str) -> None:
    candidate = Runner(target_of(Specimen(), "specimen"))
    assert CHECKS[check].applies_to(candidate.features)
    record = run_check(plan("specimen"), CHECKS[check], candidate, dtype, 25)
    assert record.passed, record


def test_the_small_world_passes_a_correct_kernel_and_finds_a_fault_in_two_tokens() -> None:
    assert run_small_world(plan("specimen"), Runner(target_of(Specimen(), "specimen")), "float32").passed
    record = run_small_world(plan("fault"), Runner(FAULTS["global_counted_twice"].target), "float32")
    assert record.status == "failed"
    assert record.case == {"tokens": 2, "window": 1, "masked": ((),), "global_": ((0,),), "separate_globals": True}
