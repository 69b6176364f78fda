"""Two results of a candidate that should be equal: bit for bit where it declares so, else within the bounds of both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds import Bound
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import FEATURES, Target
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.checks.same import SAME_CALL, judge_same
from trueband.properties.results.verdict import no_evidence
from trueband.properties.running.engine import reproduce, run_check
from trueband.properties.running.plan import Plan

BOUND = Bound({"rounding": np.full(2, 1e-6)})
CASE = {"tokens": 5, "window": 2, "head_dim": 4, "family": "normal"}


def compared(features: set[str], actual: list[float], rounding: Bound | None = None) -> Any:
    candidate: Any = SimpleNamespace(features=frozenset(features))
    probe = Probe(candidate, Case.from_dict(CASE))
    return judge_same(probe, actual, [1.0, 2.0], BOUND, "output", SAME_CALL, rounding=rounding)


def test_bits_are_asked_only_of_a_candidate_that_declares_them() -> None:
    other = [1.0, 2.0 + 1e-7]
    assert compared(set(), other).passed
    assert not compared({"deterministic"}, other).passed
    assert compared({"deterministic"}, [1.0, 2.0]).passed
    assert not compared(set(), [1.0, 2.1]).passed


def test_what_underflows_may_differ_in_a_deterministic_candidate_too() -> None:
    rounding = Bound({"underflow": np.array([0.0, 1e-6])})
    assert compared({"deterministic"}, [1.0, 2.0 + 1e-7], rounding).passed
    assert not compared({"deterministic"}, [1.0 + 1e-7, 2.0], rounding).passed


def test_a_failure_says_what_was_compared_and_what_to_declare_if_it_is_meant() -> None:
    told = str(compared({"deterministic"}, [1.0, 2.0 + 1e-7]))
    assert "the same call again gave other bits; declare features without deterministic if that is intended" in told
    told = str(compared({"deterministic"}, [1.0, 2.1]))
    assert "declare" not in told
    assert "the same call again gave other numbers" in told


@np.errstate(all="ignore")  # of numbers that are out of range
def sums_in_another_order_each_time(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Correct, and not deterministic."""
    sums_in_another_order_each_time.calls += 1  # type: ignore[attr-defined]
    place = np.arange(query.shape[2])
    order = np.roll(place, sums_in_another_order_each_time.calls)  # type: ignore[attr-defined]
    seen = abs(place[:, None] - place) <= window
    scores = np.einsum("bhid,bhjd->bhij", query, key) / query.dtype.type(np.sqrt(query.shape[3]))
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total, output = np.zeros_like(weights[..., 0]), np.zeros_like(query)
    for j in order:
        total += weights[..., j]
        output += np.where(seen[:, j, None], weights[..., j, None] * value[:, :, None, j], 0)
    return output / total[..., None]


sums_in_another_order_each_time.calls = 0  # type: ignore[attr-defined]


def test_a_correct_kernel_that_is_not_deterministic_is_told_so_and_passes_when_it_says_so() -> None:
    line = {"check": "deterministic", "case": CASE}
    plain = reproduce(line, "kernel", Runner(Target(sums_in_another_order_each_time)))
    assert plain.status == "failed"
    assert "the same call again gave other bits; declare features without deterministic" in plain.message
    honest = Runner(Target(sums_in_another_order_each_time, features=frozenset()))
    with pytest.raises(ValueError, match="needs deterministic"):
        reproduce(line, "kernel", honest)
    for check in (one for one in CHECKS.values() if one.exact_with == "deterministic" and not one.needs):
        record = run_check(Plan("kernel", ("float32",), 1, (), ()), check, honest, "float32", 10)
        assert record.passed, record.message


def test_a_plain_callable_declares_to_be_deterministic_and_batch_invariance_includes_it() -> None:
    def kernel(query: Any, key: Any, value: Any, *, window: int) -> Any: ...

    by_itself = {"any_window", "strided"}  # this module imports numpy
    assert Target(kernel).resolved().features == {"deterministic", "deterministic_gradients", *by_itself}
    assert Target(kernel, features=frozenset()).resolved().features == by_itself
    assert "deterministic" in (Target(kernel, features=frozenset({"batch_invariant"})).resolved().features or ())


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_argues_why_its_claim_holds_everywhere(check: str) -> None:
    one = CHECKS[check]
    kind = "Exact with" if one.exact_with else ("Exact", "Bounded")
    assert one.argument.startswith(kind), one.argument
    assert one.exact_with in ("", *FEATURES)
    if one.exact_with:
        assert one.argument.startswith(f"Exact with {one.exact_with}"), one.argument


def test_nothing_but_ties_is_no_evidence() -> None:
    verdict = no_evidence("token", 3)
    assert verdict.passed
    assert (verdict.evidence, verdict.skipped) == (False, 3)
    assert str(verdict) == "token: no evidence"
