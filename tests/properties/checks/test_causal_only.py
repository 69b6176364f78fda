"""A kernel that is always causal: it is judged as that, is never given `causal`, and is asked for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, TargetError
from trueband.properties.checks import CHECKS
from trueband.properties.results.record import Record
from trueband.properties.running.engine import reproduce, run
from trueband.properties.running.plan import make_plan
from trueband.reference.attention import band_attention


def attention(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    """A right one, in NumPy: float64 rounded once is within any bound."""
    if "causal" in options:
        raise TypeError("causal: not an argument of a kernel that is always causal")
    return band_attention(query, key, value, window=window, causal=True, **options).output.astype(query.dtype)


def counts_itself(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    """The window counts the token itself: it is one short."""
    return attention(query, key, value, window=max(window - 1, 0), **options)


def sees_one_ahead(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    later = np.concatenate([query[:, :, :1], query[:, :, :-1]], axis=2)
    return np.concatenate([attention(later, key, value, window=window, **options)[:, :, 1:], query[:, :, -1:]], axis=2)


def not_causal_from_64(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    """Causal is lost where the window covers the keys of more than one tile."""
    if query.shape[2] <= 64 or window < query.shape[2]:
        return attention(query, key, value, window=window, **options)
    return band_attention(query, key, value, window=window, **options).output.astype(query.dtype)


KERNEL = Target(
    attention,
    features=frozenset({"padding", "causal_only", "scale", "head_mask", "dilation", "deterministic"}),
    library="numpy",
    name="always causal",
)


def records(function: Any, pattern: str | None = None, cases: int = 200) -> list[Record]:
    runner = Runner(replace(KERNEL, function=function))
    return list(run(make_plan("always causal", runner, cases=cases, pattern=pattern), runner))


@pytest.mark.usefixtures("modest_shapes")
def test_a_right_kernel_passes() -> None:
    found = records(attention)
    assert [(each.check, each.message) for each in found if not each.passed] == []
    asked = {each.check for each in found if each.status == "passed"}
    assert asked >= {"small_world", "causality", "matches_reference", "masking_is_removal", "combinations"}
    assert "reversal" not in asked
    worst = [each.worst_case for each in found if each.worst_case is not None]
    assert all(case["causal"] for case in worst)


@pytest.mark.parametrize("wrong", [counts_itself, sees_one_ahead])
def test_a_wrong_one_is_rejected_by_a_small_case(wrong: Any) -> None:
    (record,) = records(wrong, "small_world")
    assert record.status == "failed"
    assert record.case is not None
    assert record.case["causal"] is True
    assert record.case["tokens"] <= 2


def test_one_that_is_not_causal_at_size_is_rejected() -> None:
    found = records(not_causal_from_64, "combinations or window_beyond_length or matches_reference")
    assert "failed" in {each.status for each in found}


def test_a_case_that_is_not_causal_is_not_asked() -> None:
    line = {"check": "matches_reference", "case": {"tokens": 3, "window": 1}}
    record = reproduce(line, "always causal", Runner(KERNEL))
    assert record.status == "not asked"


def test_checks_of_what_no_causal_kernel_does_do_not_apply() -> None:
    features = Runner(KERNEL).features
    assert features >= {"causal", "causal_only"}
    assert not CHECKS["reversal"].applies_to(features)
    assert CHECKS["reversal"].applies_to(features - {"causal_only"})


def test_globals_are_not_defined_with_it() -> None:
    with pytest.raises(TargetError, match="features: expected causal_only without globals"):
        Target(attention, features=frozenset({"causal_only", "globals"}))
