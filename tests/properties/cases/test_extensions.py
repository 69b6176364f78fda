"""What the second edition adds to a case: drawn, written, resized, and never what is not defined together."""

from __future__ import annotations

import json
import random

import pytest

from trueband.properties.candidate.target import SECOND_EDITION, WHOLE_CONTRACT
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.extensions import EVERY_KIND, kinds_of, possible
from trueband.properties.cases.limits import Limits, Sizes
from trueband.properties.cases.strategies import ANY, Structure, choose_case

EVERYTHING = Structure(takes=EVERY_KIND)


def drawn(count: int, features: frozenset[str] = SECOND_EDITION, structure: Structure = EVERYTHING) -> list[Case]:
    return [choose_case(RandomChoices(random.Random(n)), "float32", features, structure) for n in range(count)]


def test_every_kind_is_drawn_and_half_of_the_cases_have_none() -> None:
    found = [kinds_of(case) for case in drawn(600)]
    assert set().union(*found) == EVERY_KIND
    assert 200 < sum(not kinds for kinds in found) < 400


def test_every_drawn_case_is_defined_and_the_reference_takes_it() -> None:
    for case in drawn(150):
        inputs = case.inputs()
        assert inputs.output.shape == case.output_shape
        assert inputs.bound.total.shape == case.output_shape
        assert inputs.lse.shape == case.output_shape[:3]


@pytest.mark.parametrize("kind", sorted(EVERY_KIND))
def test_a_required_kind_is_in_every_case_and_in_none_of_a_target_without(kind: str) -> None:
    structure = Structure(require=frozenset({kind, "asymmetric"}), without=frozenset({"globals", "dilation"}))
    for case in drawn(40, structure=structure):
        # Queries may come to stand at the first keys, one for each: then nothing is moved.
        assert {kind} - {"offset"} <= kinds_of(case)
    assert not any(kinds_of(case) for case in drawn(40, WHOLE_CONTRACT))


def test_queries_at_the_bottom_right_are_the_last_ones() -> None:
    features = frozenset({"bottom_right", "causal"})
    assert possible(features) == {"offset"}
    for case in drawn(80, features):
        queries = case.queries or case.tokens
        assert case.offset == case.tokens - queries


def test_a_check_without_kinds_draws_what_it_drew() -> None:
    assert drawn(60, SECOND_EDITION, ANY) == drawn(60, WHOLE_CONTRACT, ANY)


def test_a_case_is_read_from_its_line() -> None:
    for case in drawn(200):
        line = case.to_json()
        assert Case.from_dict(json.loads(line)) == case
        assert len(line) < 900


def test_every_size_can_be_changed() -> None:
    for case in drawn(200):
        for name, values in {"tokens": (1, 3, 50), "heads": (1, 2, 12), "batch": (1, 5), "head_dim": (5,)}.items():
            for value in values:
                changed = case.with_size(name, value)
                if case.segments is not None or case.queries is None:
                    assert changed.inputs().output.shape[0] == changed.batch


def test_limits_are_kept() -> None:
    limits = Limits({"heads": Sizes(multiple=4), "window": Sizes(most=3), "tokens": Sizes(multiple=8)})
    for number in range(100):
        choices = RandomChoices(random.Random(number))
        case = choose_case(choices, "float32", SECOND_EDITION, EVERYTHING, limits)
        inputs = case.inputs()
        assert limits.refuses(inputs) == ""
        assert inputs.output.shape == case.output_shape


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"window": [1]}, "window"),
        ({"window": [1, -1]}, "window"),
        ({"window": [1, True]}, "window"),
        ({"window": None}, "window"),
        ({"key_heads": 2, "heads": 3}, "key_heads"),
        ({"key_heads": 0}, "key_heads"),
        ({"queries": 0}, "queries"),
        ({"value_dim": 1.5}, "value_dim"),
        ({"sinks": 1}, "sinks"),
        ({"offset": [1, 2]}, "offset"),
        ({"offset": 1.0}, "offset"),
        ({"segments": [[0, 0]]}, "segments"),
        ({"segments": [[0, 0, "x"]]}, "segments"),
    ],
)
def test_an_impossible_field_is_an_error_that_names_it(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named}: expected .*, got "):
        Case.from_dict({"tokens": 3, "window": 1, **values})
