"""Targets on a device: errors that come late, contexts that are lost, memory that runs out, and what is done to it.

The device is a stand-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trueband.properties.candidate.accelerator import accelerator
from trueband.properties.candidate.errors import CRASHED, FAILED, OUT_OF_MEMORY, CandidateEnded
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


class Cuda:
    """torch, as far as a device is looked for."""

    def __init__(self, count: int) -> None:
        self.cuda = self
        self.count = count
        self.device = torch.device

    def is_available(self) -> bool:
        return self.count > 0

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (0, "cuda", "device: expected one that torch can use, got 'cuda', and torch finds no CUDA device"),
        (1, "cuda:1", "device: expected one of cuda:0, got 'cuda:1'"),
        (2, "cuda:2", "device: expected one of cuda:0, cuda:1, got 'cuda:2'"),
    ],
)
def test_a_device_that_is_not_there_is_told_in_one_line(count: int, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accelerator(Cuda(count), torch.device(name))
    assert accelerator(Cuda(1), torch.device("cuda:0")) is not None
    assert accelerator(Cuda(1), torch.device("cpu")) is None


def test_a_memory_limit_is_one_of_the_device() -> None:
    with start("limited", memory_limit=1024) as candidate:
        with pytest.raises(CandidateEnded, match=r"took 0\.5 of the device; calls may take 1,024 MiB beyond") as caught:
            call(candidate, 3)
        assert caught.value.status == OUT_OF_MEMORY
