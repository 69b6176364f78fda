"""Correct kernels that add in the order of a machine raise no alarm, whatever the order depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, load_target
from trueband.properties.checks import CHECKS
from trueband.properties.results.record import Record
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan

pytestmark = [pytest.mark.evidence, pytest.mark.usefixtures("modest_shapes")]
FILE = Path(__file__).resolve().parents[3] / "tools" / "machine_like.py"
DECLARED, UNDECLARED = ("address", "shape", "place"), ("call", "threads")
BACKWARD = "backward_call"  # whose gradients alone are other bits in every call
# A kernel turns its sums in the same way in all dtypes: each is tried in one more than float32, and each dtype by two.
OTHER = {
    "address": "float64",
    "shape": "float16",
    "place": "float64",
    "call": "float16",
    "threads": "float64",
    BACKWARD: "float16",
}
BITS = " or ".join(name for name, one in CHECKS.items() if one.exact_with)


def target(name: str, *more: str) -> Target:
    found = load_target(f"{FILE}:{name}")
    assert found.features is not None
    return replace(found, features=found.features | set(more))


def records(wanted: Target, pattern: str | None, cases: int, dtypes: tuple[str, ...] | None = None) -> list[Record]:
    runner = Runner(wanted)
    return list(run(make_plan("machine-like", runner, cases=cases, dtypes=dtypes, pattern=pattern), runner))


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(("name", "dtype"), OTHER.items(), ids=OTHER)
def test_no_alarm(name: str, dtype: str, times: int) -> None:
    found = [
        *records(target(name), "not small_world", 15 * times, (dtype,)),
        *records(target(name), "not small_world", 50 * times, ("float32",)),
        *records(target(name), BITS, 40 * times, ("float32", "bfloat16")),
    ]
    assert [(each.check, each.dtype, each.message) for each in found if not each.passed] == []


@pytest.mark.parametrize("name", DECLARED)
def test_to_declare_more_than_is_true_is_found_out_by_the_checks_of_that(name: str) -> None:
    found = records(target(name, "batch_invariant"), BITS, 200, ("float32", "float64"))
    failed = {each.check for each in found if not each.passed}
    assert failed
    assert all(CHECKS[check].exact_with == "batch_invariant" for check in failed), failed
    told = " ".join(each.message for each in found if not each.passed)
    assert "gave other bits; declare features without batch_invariant if that is intended" in told


@pytest.mark.parametrize("name", UNDECLARED)
def test_to_be_deterministic_is_found_out_too(name: str) -> None:
    found = records(target(name, "deterministic"), BITS, 200, ("float32",))
    failed = {each.check: each.message for each in found if not each.passed}
    assert all(CHECKS[check].exact_with == "deterministic" for check in failed), failed
    told = "the same call again gave other bits; declare features without deterministic if that is intended"
    assert told in failed["deterministic"]


def test_gradients_that_differ_from_call_to_call_are_named_as_that_and_nothing_else_accuses_them() -> None:
    found = records(target(BACKWARD, "deterministic_gradients"), "not small_world", 600, ("float32",))
    failed = {each.check: each.message for each in found if not each.passed}
    assert set(failed) == {"deterministic_gradients"}
    told = "the same call's gradients again gave other bits; declare features without deterministic_gradients"
    assert told in failed["deterministic_gradients"]
