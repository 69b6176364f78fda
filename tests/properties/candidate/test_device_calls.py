"""Calls on another stream, and graphs that are replayed: right kernels pass, wrong ones are told. See `devices`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.candidate.runner import Runner
from trueband.properties.cases.backward import REPLAY, STREAM, Backward
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.faults.seeded.registry import target_of
from trueband.properties.faults.specimens.differentiated import Differentiated
from trueband.properties.running.engine import check_and_case, run_check
from trueband.properties.running.plan import Plan, make_plan
from trueband.reports.console import on_devices

KERNELS = Path(__file__).parent / "devices" / "kernels.py"


def record(kernels: Any, name: str, check: str) -> Any:
    """What a check finds of a kernel of the stand-in."""
    plan = Plan(name, ("float32",), 1, (), (check,), "cuda")
    return run_check(plan, CHECKS[check], Runner(getattr(kernels, name), "cuda"), "float32", 12)


@pytest.mark.parametrize("name", ["right_target", "own_stream_target", "looks_target"])
def test_a_kernel_that_works_on_the_stream_of_its_caller_passes(kernels: Any, name: str) -> None:
    found = record(kernels, name, "other_stream")
    assert (found.status, found.cases) == ("passed", 12), found.message


@pytest.mark.parametrize("name", ["default_stream_target", "not_joined_target"])
def test_a_kernel_that_works_elsewhere_is_told(kernels: Any, name: str) -> None:
    found = record(kernels, name, "other_stream")
    assert found.status == "failed"
    assert "output on another stream" in found.message
    assert found.called[0]["layout"] == "written late on another stream"
    assert record(kernels, name, "matches_reference").passed  # as all is awaited there


def test_gradients_on_another_stream(kernels: Any) -> None:
    right = record(kernels, "launched_target", "other_stream_gradients")
    assert (right.status, right.cases) == ("passed", 12), right.message
    wrong = record(kernels, "backward_on_default_target", "other_stream_gradients")
    assert wrong.status == "failed"
    assert "gradient of" in wrong.message
    for check in ("gradients_match_reference", "other_stream"):
        assert record(kernels, "backward_on_default_target", check).passed


def test_a_graph_that_is_replayed_gives_what_a_call_gives(kernels: Any) -> None:
    found = record(kernels, "right_graph", "graph_replay")
    assert (found.status, found.cases) == ("passed", 12), found.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("looks_graph", "operation not permitted when stream is capturing"),
        ("stale_graph", "output of a replayed graph"),
    ],
)
def test_a_graph_of_what_is_no_launch_is_told(kernels: Any, name: str, message: str) -> None:
    found = record(kernels, name, "graph_replay")
    assert found.status == "failed"
    assert message in found.message
    assert record(kernels, name, "matches_reference").passed


def test_a_plan_has_these_checks_on_a_device_only(kernels: Any) -> None:
    on_device = make_plan("right", Runner(kernels.right_graph, "cuda"), device="cuda").checks
    plain = make_plan("right", Runner(kernels.right_target, "cuda"), device="cuda").checks
    assert set(on_device) - set(plain) == {"graph_replay"}
    assert "other_stream" in plain
    host = Runner(target_of(Differentiated(), "host"))
    assert not {"other_stream", "graph_replay"} & set(make_plan("host", host).checks)
    assert on_devices(host.features) == ["other_stream", "other_stream_gradients"]
    assert on_devices({*host.features, "capturable"}) == ["other_stream", "other_stream_gradients", "graph_replay"]
    with pytest.raises(ValueError, match="which needs streams"):
        check_and_case({"check": "other_stream", "case": {"tokens": 2, "window": 1}}, host.features)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("right_target", "a CUDA graph can record it, which is not checked: declare capturable to have that checked"),
        ("looks_target", "a CUDA graph cannot record it: RuntimeError: CUDA error: operation not permitted"),
    ],
)
def test_whether_a_graph_can_record_it_is_noted(name: str, note: str) -> None:
    with RemoteRunner(f"{KERNELS}:{name}", "cuda") as candidate:
        assert [line[: len(note)] for line in candidate.covered.notes] == [note]
        assert candidate.covered.to_dict()["notes"] == candidate.covered.notes


@pytest.mark.parametrize("layout", [STREAM, REPLAY])
def test_the_host_has_no_such_way_to_call(layout: str) -> None:
    case = Case(2, 1, 2)
    host, inputs = Runner(target_of(Differentiated(), "host")), case.inputs()
    with pytest.raises(ValueError, match=f"layout: expected one of .* without a CUDA device, got '{layout}'"):
        host.call(inputs.arrays, inputs.options, "float32", layout)
    if layout == STREAM:
        with pytest.raises(ValueError, match="without a CUDA device"):
            host.gradients(
                inputs.arrays, inputs.options, "float32", case.grad_output(), ["value"], Backward(layout=layout)
            )
