"""What a check has really called a kernel with is told where the case does not say it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate.called import Call, Calls, all_in_words, in_words
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.cases.case import Case
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks import CHECKS
from trueband.properties.faults import FAULTS
from trueband.properties.running.campaign import Block
from trueband.properties.running.search import Failure, try_case

CASE = Case(7, 2, batch=2, masked=((), (6,)), family="normal")


def told(*changed: Inputs, layout: str = "contiguous") -> list[str]:
    calls = Calls(CASE, CASE.inputs)
    for inputs in changed:
        calls.add(Call(inputs, layout))
    return [in_words(each) for each in calls.descriptions()]


def test_the_case_as_it_is_is_not_told_again() -> None:
    assert told(CASE.inputs()) == []
    assert told(CASE.inputs(), layout="transposed") == [
        "batch 2, tokens 7, window 2, heads 1, head_dim 1, memory transposed"
    ]


def nan_at(token: int) -> Any:
    def poisoned(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[:, :, token] = np.nan
        return array

    return poisoned


def larger_at(token: int) -> Any:
    return lambda array: array + 5 * (np.arange(7) == token)[:, None]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.map_arrays(np.zeros_like, ["query"]), "queries 0"),
        (lambda one: one.map_arrays(lambda array: array * 8, ["value"]), "values times 8"),
        (lambda one: one.map_arrays(nan_at(3), ["value"]), "NaN in the values of token 3"),
        (lambda one: one.map_arrays(larger_at(4), ["key"]), "other keys at token 4"),
        (lambda one: one.with_arrays(attention_mask=None), "no attention_mask"),
        (lambda one: one.map_arrays(np.ones_like, ["attention_mask"]), "attention_mask all true"),
        (lambda one: one.with_options(window=5), "window 5"),
        (lambda one: one.with_options(scale=0.25), "scale 0.25"),
    ],
)
def test_what_differs_is_told_in_words(change: Any, words: str) -> None:
    (line,) = told(change(CASE.inputs()))
    assert words in line.split(", ")


def test_large_arrays_are_not_searched_for_what_differs() -> None:
    case = Case(1 << 20, 2, head_dim=2)
    inputs = CASE.inputs().map_arrays(lambda array: np.broadcast_to(array[:1, :, :1], (1, 1, 1 << 20, 2)), ["query"])
    calls = Calls(case, lambda: pytest.fail("the case was drawn"))
    calls.add(Call(inputs.with_options(window=3)))
    (told,) = calls.descriptions()
    assert in_words(told) == "tokens 1048576, window 3, heads 1, head_dim 2"


def test_calls_before_the_last_verdict_are_not_told() -> None:
    inputs, calls = CASE.inputs(), Calls(CASE, CASE.inputs)
    calls.add(Call(inputs.with_options(window=0)))
    calls.judged()
    assert "window 0" in all_in_words(calls.descriptions())  # a second verdict on the same call
    calls.add(Call(inputs.with_options(window=1)))
    calls.add(Call(inputs))
    assert [each["window"] for each in calls.descriptions()] == [1]


def failure(fault: str, check: str, **case: Any) -> Failure:
    found = try_case(CHECKS[check], Runner(FAULTS[fault].target), Case(**case), Probe).failure
    assert found is not None
    return found


def test_a_probe_that_uses_another_head_dim_says_so() -> None:
    found = failure("last_row_unwritten", "mask_decoding", tokens=7, window=2)
    assert all_in_words(found.called) == "tokens 7, window 2, heads 1, head_dim 32, queries 0, keys 1, one-hot values"


def test_a_check_with_a_window_of_its_own_says_so() -> None:
    found = failure("last_row_unwritten", "own_value", tokens=3, window=2)
    assert [each["window"] for each in found.called] == [0]


def test_what_was_called_goes_through_the_files() -> None:
    called = failure("last_row_unwritten", "mask_decoding", tokens=7, window=2, dilation=2).called
    block = Block("mask_decoding", "float32", 0, 1, "", 1, 1, 0.0, called=called)
    assert Block.from_dict(json.loads(json.dumps(block.to_dict()))) == block
