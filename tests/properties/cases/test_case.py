"""Cases: one JSON line each, the same arrays wherever they are rebuilt, nothing impossible."""

from __future__ import annotations

import json
import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings

from trueband.properties.bounds import round_to
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import SECOND_EDITION, WHOLE_CONTRACT, Target
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.families import FAMILIES
from trueband.properties.cases.strategies import Structure, cases, choose_case
from trueband.properties.checks import CHECKS
from trueband.properties.faults import Specimen
from trueband.properties.running.engine import reproduce

EVERYTHING = cases("bfloat16", WHOLE_CONTRACT)


@settings(max_examples=60, deadline=None)
@given(EVERYTHING)
def test_a_case_survives_its_json_line(case: Case) -> None:
    line = case.to_json()
    assert "\n" not in line
    rebuilt = Case.from_dict(json.loads(line))
    assert rebuilt == case
    assert rebuilt.id == case.id
    for name, array in case.inputs().arrays.items():
        assert np.array_equal(array, rebuilt.inputs().arrays[name])


def test_the_id_is_stable() -> None:
    assert Case(tokens=3, window=1).id == Case.from_dict({"tokens": 3, "window": 1}).id == "ea3342578d06"


def test_other_cases_have_other_ids_and_numbers() -> None:
    one, other = Case(tokens=3, window=1, family="normal"), Case(tokens=3, window=1, family="normal", seed=1)
    assert one.id != other.id
    assert not np.array_equal(one.inputs().arrays["key"], other.inputs().arrays["key"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_lie_on_the_grid_of_the_dtype(family: str, dtype: str) -> None:
    native = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    for name, array in Case(tokens=9, window=1, head_dim=8, family=family, dtype=dtype).inputs().arrays.items():
        assert np.array_equal(array.astype(native).astype(np.float64), array), name


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rounding_is_that_of_the_dtype(dtype: str) -> None:
    native = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    random = np.random.default_rng(0)
    numbers = random.standard_normal(20_000) * np.exp2(random.integers(-24, 12, 20_000))
    halfway = (1 + np.arange(64) / 2.0**8) * 2.0**-3  # ties of bfloat16
    for array in (numbers, halfway, -halfway, np.zeros(3)):
        assert np.array_equal(round_to(array, dtype), array.astype(native).astype(np.float64))


def test_rounding_that_truncates_would_be_seen() -> None:
    """Named wrong implementation: truncation instead of rounding to nearest."""
    number = np.array([1 + 3 * 2.0**-9])
    truncated = np.floor(number * 2.0**7) / 2.0**7
    assert round_to(number, "bfloat16") != truncated


@settings(max_examples=100, deadline=None)
@given(
    cases("float32", WHOLE_CONTRACT, Structure(require=frozenset({"padding", "globals"}), tokens=(2, 9), long=False))
)
def test_a_structure_is_kept(case: Case) -> None:
    assert 2 <= case.tokens <= 9
    assert case.masked is not None
    assert case.masked[0]
    assert case.global_ is not None
    assert case.global_[0]
    assert not case.causal


@settings(max_examples=100, deadline=None)
@given(cases("float32", frozenset({"padding"})))
def test_a_target_gets_only_what_it_claims(case: Case) -> None:
    assert set(case.inputs().arrays) <= {"query", "key", "value", "attention_mask"}
    assert set(case.inputs().options) == {"window"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"tokens": 0, "window": 1}, "tokens"),
        ({"tokens": 2, "window": -1}, "window"),
        ({"tokens": 2}, "window"),
        ({"tokens": 2, "window": 1, "family": "odd"}, "family"),
        ({"tokens": 2, "window": 1, "dtype": "int8"}, "dtype"),
        ({"tokens": 2, "window": 1, "masked": [[2]]}, "masked"),
        ({"tokens": 2, "window": 1, "masked": 3}, "masked"),
        ({"tokens": 2, "window": 1, "masked": [0]}, "masked"),
        ({"tokens": 2, "window": 1, "masked": [["a"]]}, "masked"),
        ({"tokens": 2, "window": 1, "masked": [[True]]}, "masked"),
        ({"tokens": 2, "window": 1, "global_": []}, "global_"),
        ({"tokens": 2, "window": 1, "causal": "no"}, "causal"),
        ({"tokens": 2, "window": 1, "head_mask": [1]}, "head_mask"),
        ({"tokens": 2, "window": 1, "colour": 3}, "colour"),
        ([2, 1], "case"),
    ],
)
def test_an_impossible_case_is_an_error_that_names_the_field(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*, got ") as caught:
        Case.from_dict(json.loads(json.dumps(values)))
    assert named in str(caught.value)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_takes_every_case_that_is_drawn_for_it(name: str) -> None:
    structure = CHECKS[name].structure
    for number in range(40):
        structure.check(choose_case(RandomChoices(random.Random(number)), "float32", SECOND_EDITION, structure))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("causality", {}, "causal: expected one for this check, got none"),
        ("fully_masked_sequence", {}, "masked: expected one for this check, got none"),
        ("masking_is_removal", {"masked": ((0,),), "window": 1}, "window: expected at least 2 for this check, got 1"),
        ("mask_decoding", {"head_mask": True}, "head_mask: expected none for this check, got True"),
        ("single_token", {}, "tokens: expected 1..1 for this check, got 3"),
        ("locality", {"tokens": 1}, "tokens: expected at least 2 for this check, got 1"),
        ("power_of_two_exchange", {"family": "normal"}, "family: expected one of integer for this check, got 'normal'"),
        ("integer_scores", {"family": "integer", "head_dim": 2}, "head_dim: expected a power of 4 .*, got 2"),
        ("gradient_support", {}, "check: expected one that applies to the target, .* which needs backward"),
        ("matches_reference", {"dilation": 0}, "dilation: expected an int >= 1, got 0"),
        ("matches_reference", {"scale": "x"}, "scale: expected a finite float or None, got str"),
    ],
)
def test_a_case_that_a_check_says_nothing_about_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    """A right kernel would be told to fail."""
    features = frozenset(WHOLE_CONTRACT) - {"backward"}
    candidate = Runner(Target(Specimen(), dtypes=("float32",), features=features, library="numpy"))
    case = {"tokens": 3, "window": 3, **changes}
    with pytest.raises(ValueError, match=message):
        reproduce({"check": name, "case": case}, "specimen", candidate)
