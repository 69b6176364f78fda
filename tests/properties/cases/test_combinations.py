"""Combinations of production: every two levels meet, coarse ones by threes, and cases are what their rows say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from trueband.properties.candidate.target import WHOLE_CONTRACT
from trueband.properties.cases.combinations import combined_case, design, ordinary
from trueband.properties.cases.covering import covering
from trueband.properties.cases.limits import Limits, Sizes
from trueband.properties.cases.ways import DIGITS, Way, plainer
from trueband.properties.checks import CHECKS
from trueband.properties.running.production import production_case

EVERYTHING = WHOLE_CONTRACT


def met(rows: Any, **levels: Any) -> bool:
    """Whether a row has a level of each of the named factors, as a set or a function says."""
    return any(all(allowed(row[name]) for name, allowed in levels.items()) for row in rows)


def test_every_two_levels_meet_and_coarse_ones_by_threes() -> None:
    factors = {"a": (0, 1, 2, 3), "b": (0, 1, 2), "c": (0, 1, 2), "d": (0, 1, 2, 3, 4), "e": (0, 1)}
    apart = {"a": 3, "b": 2}

    def allows(row: Any) -> bool:
        return any(row.get(name) != level for name, level in apart.items())

    rows = covering(factors, allows, lambda _, level: level > 0, allows, 0)
    for (first, firsts), (second, seconds) in itertools.combinations(factors.items(), 2):
        for pair in itertools.product(firsts, seconds):
            there = any((row[first], row[second]) == pair for row in rows)
            assert there == allows({first: pair[0], second: pair[1]})
    for names in itertools.combinations(factors, 3):
        coarse = {tuple(row[name] > 0 for name in names) for row in rows}
        assert len(coarse) == 8
    assert len(rows) < 40


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("without", [frozenset(), frozenset({"separate_globals", "head_mask", "dilation", "scale"})])
def test_what_production_combines_meets(gradients: bool, without: frozenset[str]) -> None:
    """What kernels were wrong for while each size alone was walked."""
    rows = design(EVERYTHING - without, Limits(), gradients)
    several, long, padded = (lambda b: b > 1), (lambda n: n > 512), (lambda kind: kind != "none")
    assert met(rows, batch=several, tokens=long, padding=padded, globals=bool)
    assert met(rows, batch=several, tokens=long, layout=lambda each: each not in ("contiguous", "expanded"))
    assert met(rows, heads=lambda h: h >= 8, head_dim=lambda d: d >= 128, tokens=long)
    assert met(rows, batch=lambda b: b == 8, heads=lambda h: h >= 12)
    for window in (0, "whole", "huge"):
        assert met(rows, window=lambda w, window=window: w == window, tokens=lambda n: n > 1300)
    for layout in DIGITS["layout"]:
        assert met(rows, layout=lambda each, layout=layout: each == layout, tokens=long)
    for name in ("grad_layout", "wanted") if gradients else ():
        for level in DIGITS[name]:
            asked: dict[str, Any] = {name: lambda each, level=level: each == level, "tokens": long}
            assert met(rows, **asked)
    assert ordinary(rows) < len(rows) < 220


def test_rows_keep_to_what_a_target_takes() -> None:
    limits = Limits({"head_dim": Sizes(only=(64, 128)), "tokens": Sizes(multiple=64)}, padding="right")
    rows = design(frozenset({"padding"}), limits, False)
    assert {row["padding"] for row in rows} == {"none", "right"}
    assert {row["head_dim"] for row in rows} == {64, 128}
    assert {row["globals"] for row in rows} == {0}
    for number, row in enumerate(rows):
        case = combined_case(row, {"padding"}, limits, "float32", str(number))
        assert (case.tokens % 64, case.head_dim in (64, 128), case.dilation, case.scale) == (0, True, 1, None)


def test_a_case_says_how_it_is_asked_for_and_the_same_seed_says_the_same() -> None:
    check = CHECKS["combined_gradients"]
    rows = design(EVERYTHING, Limits(), True)
    for number, row in enumerate(rows):
        case = production_case(check, "float32", EVERYTHING, Limits(), (), number, 3, "quick")
        assert case == production_case(check, "float32", EVERYTHING, Limits(), (), number, 3, "quick")
        way = Way.of_case(case)
        assert (way.layout, way.of, way.grad_layout, way.wanted) == tuple(row[name] for name in DIGITS)
        for name in DIGITS:
            assert getattr(Way.of_case(plainer(case, name)), name) == DIGITS[name][0]
            assert plainer(case, name).replace(seed=0) == case.replace(seed=0)
    beyond = production_case(check, "float32", EVERYTHING, Limits(), (), len(rows) + 5, 3, "quick")
    assert beyond != production_case(check, "float32", EVERYTHING, Limits(), (), len(rows) + 6, 3, "quick")


def test_a_way_names_its_inputs_and_gradients_and_is_plain_where_a_target_cannot_be_asked_so() -> None:
    names = ["query", "key", "value", "key_global"]
    assert Way("columns", "key").those(names) == ("key", "key_global")
    assert Way("columns").those(names) == ()
    assert Way(wanted="not key").gradients(names) == ["query", "value"]
    assert Way(wanted="key").gradients(names) == ["key", "key_global"]
    case = production_case(CHECKS["combinations"], "float32", EVERYTHING, Limits(), (), 0, 0, "quick")
    assert Way.of_case(case.replace(seed=Way("packed", "key", "columns", "key").seed(1)), False, False) == Way()
    assert Way("columns", "key", "expanded", "not value").words(gradients=True) == (
        " with columns key, expanded gradient of the output, gradients of all but value"
    )
