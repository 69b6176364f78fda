"""The checks at production sizes: correct kernels pass, and kernels that are wrong in large inputs only do not."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target
from trueband.properties.cases.case import Case
from trueband.properties.cases.strategies import COMBINED, DENSE, EXTENDED, SHAPES
from trueband.properties.cases.ways import DIGITS, Way
from trueband.properties.checks import CHECKS
from trueband.properties.faults import FAULTS, target_of
from trueband.properties.faults.catalog import catalog
from trueband.properties.faults.specimens.banded import Banded
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.running.engine import run_check
from trueband.properties.running.plan import Plan
from trueband.properties.running.production import production_case
from trueband.properties.running.search import Tried, try_case

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

import dense_extended
import dense_softmax
import online_softmax
from large_cases import LONG, SHOWN

pytestmark = pytest.mark.evidence

LARGE = [name for name, one in CHECKS.items() if one.structure.production]
REJECTED = [(name, check) for name in SHOWN for check in FAULTS[name].killed_by if check in LARGE]
WAYS = [
    *(Way(**{name: level}).seed(5) for name in ("layout", "grad_layout") for level in DIGITS[name]),
    Way(grad_layout="expanded").seed(6),
    Way(grad_layout="expanded").seed(7),
    Way(wanted="query").seed(5),
]
# Which layout, which content of masked tokens, which rows.
SEEDS = {SHAPES: [*range(5, 9)], COMBINED: WAYS, DENSE: [5], EXTENDED: [Way().seed(number) for number in range(4)]}
PADDED: dict[str, Any] = {"masked": ((3, *range(1400, 1500)),), "global_": ((0, 1, 700, 1450),)}
CASES = {
    "padding, globals": Case(tokens=1500, window=100, head_dim=64, heads=3, family="normal", **PADDED),
    "projections, dilation": Case(
        tokens=1500,
        window=40,
        head_dim=40,
        heads=2,
        separate_globals=True,
        dilation=(1, 3),
        head_mask=True,
        family="peaked",
        **PADDED,
    ),
    "causal, two sequences": Case(
        tokens=777,
        window=130,
        head_dim=72,
        batch=2,
        masked=((), tuple(range(100))),
        causal=True,
        scale=0.3,
        family="adversarial",
    ),
}


def correct_kernels() -> dict[str, Target]:
    from trueband.adapters.chunked import target

    chunked = target() if callable(target) else target
    assert isinstance(chunked, Target)
    return {
        "dense": dense_softmax.kernel,
        "online": online_softmax.kernel,
        "chunked": chunked,
        "banded": target_of(Banded(), "banded"),
        "undeclared": dense_softmax.undeclared,
        "dense, second edition": dense_extended.target,
        "extended": target_of(Extended(), "extended"),
    }


CORRECT = correct_kernels()
ASKED = [
    (check, kernel)
    for check in LARGE
    for kernel, target in CORRECT.items()
    if CHECKS[check].applies_to(Runner(target).features)
]


def tried(target: Target, check: str, case: Case) -> Tried:
    return try_case(CHECKS[check], Runner(target), case, Probe)


@pytest.mark.parametrize(("check", "kernel"), ASKED)
def test_correct_kernels_pass_on_any_small_case(check: str, kernel: str) -> None:
    target = CORRECT[kernel]
    runner = Runner(target)
    for dtype in target.dtypes:
        record = run_check(Plan(kernel, (dtype,), 1, (), ()), CHECKS[check], runner, dtype, 6)
        assert record.passed, record


def test_several_kernels_pass_every_check() -> None:
    assert all(sum(check == asked for asked, _ in ASKED) >= 3 for check in LARGE)


@pytest.mark.parametrize("check", [name for name in LARGE if CHECKS[name].structure.production == DENSE])
def test_correct_kernels_pass_where_all_rows_attend_all_keys(check: str) -> None:
    for kernel in ("chunked", "banded", "online"):
        for dtype in CORRECT[kernel].dtypes:
            runner = Runner(CORRECT[kernel])
            case = production_case(CHECKS[check], dtype, runner.features, runner.limits, (), 0, 0, "quick")
            outcome = try_case(CHECKS[check], runner, case, Probe)
            assert outcome.failure is None, (kernel, outcome.failure)
            assert outcome.evidence


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("check", [name for name in LARGE if CHECKS[name].structure.production != DENSE])
def test_correct_kernels_pass_on_large_cases(check: str, case: str) -> None:
    for dtype in ("float32", "float16"):
        for kernel in ("chunked", "banded"):
            outcome = tried(CORRECT[kernel], check, CASES[case].replace(dtype=dtype))
            assert outcome.failure is None, (kernel, outcome.failure)
            assert outcome.evidence


@pytest.mark.parametrize(("name", "check"), REJECTED)
def test_a_kernel_that_is_wrong_in_large_inputs_is_rejected(name: str, check: str) -> None:
    """Behind the smaller case, as a walk comes to it: what a kernel keeps of that may be what is wrong."""
    case, smaller = SHOWN[name]
    for seed in SEEDS[CHECKS[check].structure.production]:
        target = FAULTS[name].target
        tried(target, check, case.replace(seed=seed, **smaller))
        failure = tried(target, check, case.replace(seed=seed)).failure
        if failure is not None:
            assert failure.status == "failed"
            return
    pytest.fail(FAULTS[name].story)


@pytest.mark.parametrize(("name", "check"), REJECTED)
def test_it_is_right_in_smaller_ones(name: str, check: str) -> None:
    """What rejects it is the size."""
    case, smaller = SHOWN[name]
    for seed in SEEDS[CHECKS[check].structure.production]:
        assert tried(FAULTS[name].target, check, case.replace(seed=seed, **smaller)).failure is None


def test_every_check_rejects_one_and_every_fault_that_size_alone_shows_is_among_them() -> None:
    assert {check for _, check in REJECTED} == set(LARGE)
    assert set(SHOWN) == {entry.name for entry in catalog().values() if entry.at_size}


def test_a_failed_count_is_told_as_a_count_at_its_place() -> None:
    failure = tried(FAULTS["last_tile_of_keys_dropped"].target, "counts_at_size", LONG).failure
    assert failure is not None
    assert failure.verdict is not None
    batch, head, row, channel = failure.verdict.index
    assert (batch, head < 2, row >= 600 - LONG.window, channel < 16) == (0, True, True, True)
    told = re.search(
        r"row attends (\d+) keys; times the (\d+) keys of the row: (\d+) instead of (\d+)", failure.message
    )
    assert told is not None
    keys, same, counted, expected = map(int, told.groups())
    assert keys == same
    assert counted > expected, "the weights of fewer keys are larger"
