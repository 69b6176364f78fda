"""A value against the published one, by the tolerance that the golden carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trueband.golden.records import Outcome
from trueband.golden.store import Golden
from trueband.properties.bounds.bound import Bound
from trueband.properties.results.verdict import judge

DIGITS = "tolerance"  # name of an array in the file: a tolerance for each element, where the digits differ


def judge_published(golden: Golden, value: ArrayLike | Sequence[str], computed: Bound | None = None) -> Outcome:
    """Judge an output. For kind "superseded" too this says whether the value is hit; `refuted` turns it round.

    Args:
        value: an array of the shape of `golden.expected`, or texts, as many as the golden has.
        computed: bound of the arithmetic of the run, added to the tolerance; None: the tolerance covers it.

    Raises:
        ValueError: another shape, texts where numbers are expected or the other way round.
    """
    if golden.metadata.expected is not None:
        return _judge_texts(golden.id, value, golden.metadata.expected)
    bound = printed(golden) if computed is None else printed(golden) + computed
    return Outcome.of(judge(_numbers(golden.id, value), golden.expected, bound, golden.metadata.output))


def printed(golden: Golden) -> Bound:
    """The tolerance of a golden for each of its elements; zero where it must be met exactly."""
    expected = np.asarray(golden.expected, dtype=np.float64)
    if DIGITS in golden.arrays:
        return Bound({"printed digits": np.asarray(golden.arrays[DIGITS], dtype=np.float64)})
    tolerance = golden.metadata.tolerance
    if tolerance is None:
        return Bound({"exact": np.zeros(expected.shape)})
    return Bound({"printed digits": tolerance.absolute + tolerance.relative * np.abs(expected)})


def refuted(golden: Golden, outcome: Outcome) -> Outcome:
    """Judge a superseded golden: missing its value is right, hitting it is the known fault."""
    if isinstance(outcome.value, float) and math.isnan(outcome.value):
        return outcome  # misses everything, and refutes nothing
    if outcome.passed:
        detail = f"has the fault of {golden.id}: hits a value that is known to be wrong ({golden.metadata.note})"
    else:
        detail = f"refuted, as it must be: {outcome.detail}"
    return Outcome(not outcome.passed, detail, outcome.value, outcome.expected, outcome.error, outcome.tolerance)


def _judge_texts(name: str, value: Any, expected: list[str]) -> Outcome:
    if isinstance(value, str) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{name}: value: expected a list of texts, got {value!r}")
    if len(value) != len(expected):
        raise ValueError(f"{name}: value: expected {len(expected)} texts, got {len(value)}")
    outcomes = [
        Outcome.same_text(got, right, "text" if len(expected) == 1 else f"text {i}")
        for i, (got, right) in enumerate(zip(value, expected, strict=True))
    ]
    if len(outcomes) > 1 and all(outcome.passed for outcome in outcomes):
        return Outcome.same_text(" ".join(value), " ".join(expected), f"{len(expected)} texts")
    return next((outcome for outcome in outcomes if not outcome.passed), outcomes[0])


def _numbers(name: str, value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: value: expected numbers, got dtype {array.dtype}")
    return array
