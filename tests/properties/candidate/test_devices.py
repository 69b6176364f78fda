"""Targets on a device: errors that come late, contexts that are lost, memory that runs out, and what is done to it.

The device is a stand-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trueband.properties.candidate.errors import CRASHED, FAILED, CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.cases.case import Case
from trueband.properties.running.engine import run
from trueband.properties.running.plan import Plan

KERNELS = Path(__file__).parent / "devices" / "kernels.py"
CHECKS = ("matches_reference", "single_token", "gradients_match_reference")


def start(name: str, **options: Any) -> RemoteRunner:
    return RemoteRunner(f"{KERNELS}:{name}_target", "cuda", **options)


def plan(name: str) -> Plan:
    return Plan(name, ("float32",), 40, (), CHECKS, "cuda")


def call(candidate: RemoteRunner, tokens: int) -> Any:
    inputs = Case(tokens, 1, 2, family="normal").inputs()
    return candidate.call(inputs.arrays, inputs.options, "float32")


def test_a_right_kernel_passes() -> None:
    with start("right") as candidate:
        records = list(run(plan("right"), candidate))
        assert [record.status for record in records] == ["passed"] * 3, records
        assert candidate.machine["device"] == "stand-in"
        assert candidate.starts == 1


def test_an_error_of_late_work_is_told_of_the_call_that_began_it() -> None:
    with start("launch") as candidate:
        with pytest.raises(CandidateEnded, match="got RuntimeError: CUDA error: invalid configuration") as caught:
            call(candidate, 3)
        assert caught.value.status == FAILED
        assert call(candidate, 2).shape == (1, 1, 2, 2)
        assert candidate.starts == 1  # the device got over it


def test_a_context_that_is_lost_ends_the_process_and_the_next_begins_with_the_next_call() -> None:
    with start("illegal") as candidate:
        call(candidate, 2)
        begun = candidate.starts
        with pytest.raises(CandidateEnded) as caught:
            call(candidate, 3)
        assert caught.value.status == CRASHED
        assert "RuntimeError: CUDA error: an illegal memory access was encountered (" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert call(candidate, 2).shape == (1, 1, 2, 2)
        assert candidate.starts == begun + 1


def test_nothing_else_is_lost_with_a_context() -> None:
    with start("illegal") as candidate:
        records = {record.check: record for record in run(plan("illegal"), candidate)}
        assert {name: record.status for name, record in records.items()} == {
            "matches_reference": "crashed",
            "single_token": "passed",
            "gradients_match_reference": "crashed",
        }
        case = records["matches_reference"].case
        assert case is not None
        assert case["tokens"] % 3 == 0


def test_a_context_that_is_lost_in_the_backward_pass() -> None:
    with start("backward") as candidate:
        records = {record.check: record for record in run(plan("backward"), candidate)}
        assert {name: record.status for name, record in records.items()} == {
            "matches_reference": "passed",
            "single_token": "passed",
            "gradients_match_reference": "crashed",
        }
        assert "expected gradients, got RuntimeError: CUDA error" in records["gradients_match_reference"].message


def test_a_process_that_dies_with_its_device() -> None:
    with start("dies") as candidate:
        with pytest.raises(CandidateEnded, match=r"terminate called after .* illegal memory access") as caught:
            call(candidate, 3)
        assert caught.value.status == CRASHED
        assert call(candidate, 2).shape == (1, 1, 2, 2)
