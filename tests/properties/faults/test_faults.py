"""Every fault dies by the checks it is seeded for, every check has one to kill, and correct kernels pass them all."""

from __future__ import annotations

from collections import Counter

import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.faults import FAULTS, KINDS, Fault, Specimen, target_of
from trueband.properties.faults.catalog import LEVELS, catalog
from trueband.properties.faults.detection import (
    LONG_ROUND,
    MOST_SHAPES,
    SOME_SHAPES,
    detect,
    kills,
    operator_trials,
)
from trueband.properties.faults.invisible import INVISIBLE, Invisible
from trueband.properties.faults.seeded.registry import fault, features_of
from trueband.properties.faults.specimens.banded import Banded
from trueband.properties.faults.specimens.bottom_right import BottomRight
from trueband.properties.faults.specimens.chunked import Chunked
from trueband.properties.faults.specimens.differentiated import Differentiated
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.ranked import Ranked
from trueband.properties.faults.specimens.tiled import Tiled
from trueband.properties.faults.specimens.validating import Validating
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.running.engine import SMALL, run_check, run_small_world
from trueband.properties.running.plan import SMALL_WORLD, Plan, make_plan, walked

pytestmark = pytest.mark.evidence

# One of each class of the operator's faults, for what costs a whole search.
SAMPLE = list({each.kind: each.name for each in FAULTS.values() if not catalog()[each.name].at_size}.values())
PRODUCTION = [name for name, check in CHECKS.items() if check.structure.production]
# One for each check that is the first to show faults of size.
MOST_NUMBERS = 4_096  # of an input, in the smallest case of these
AT_SIZE = {each.killed_by[0]: each.name for each in catalog().values() if each.at_size}


def plan(name: str) -> Plan:
    return Plan(name, ("float32",), 1, ("float32",), ())


def test_the_catalog_has_700_faults_in_20_classes() -> None:
    entries = list(catalog().values())
    kinds = Counter(entry.kind for entry in entries)
    assert len(entries) >= 700
    assert len(kinds) >= 20
    assert set(kinds) <= set(KINDS)
    assert min(kinds.values()) > 1, "a class of one fault is no class"
    assert {entry.level for entry in entries} == set(LEVELS)
    assert len({entry.story for entry in entries if entry.level == "operator"}) == sum(
        entry.level == "operator" for entry in entries
    )


def runner_of(kernel: type[Specimen | Extended | Ranked]) -> Runner:
    return Runner(target_of(kernel(), kernel.__name__))


def dies_by(seeded: Fault, check: str) -> bool:
    trials = operator_trials(seeded.target, None, "quick", each=400)
    return any(kills(trial) for trial in trials if trial.check == check)


# A seeded fault declares nothing: what is wrong with a declaration is tried in test_limits.py and test_survey.py.
OF_DECLARATIONS = ("undeclared_is_refused", "sizes_are_declared")
# No fault is seeded on a device: those are in tests/properties/candidate/test_device_calls.py.
ON_DEVICES = tuple(name for name, check in CHECKS.items() if "streams" in check.needs)
NOT_CLAIMED = ("rejects_bad_input", "nan_stays_local", "undeclared_is_refused", *ON_DEVICES)


@pytest.mark.parametrize("seeded", FAULTS.values(), ids=lambda seeded: seeded.name)
def test_a_fault_dies_by_the_check_it_is_seeded_for(seeded: Fault) -> None:
    assert dies_by(seeded, seeded.killed_by[0]), seeded.story


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in (*OF_DECLARATIONS, *ON_DEVICES)])
def test_every_check_kills_a_fault(check: str) -> None:
    assert dies_by(next(each for each in FAULTS.values() if check in each.killed_by), check)


@pytest.mark.parametrize("check", MODEL_CHECKS)
def test_every_model_check_has_a_fault_to_kill(check: str) -> None:
    assert any(check in entry.killed_by for entry in catalog().values())  # killed in tests/properties/models


def test_no_fault_is_seeded_for_a_check_that_does_not_exist() -> None:
    assert {check for entry in catalog().values() for check in entry.killed_by} <= {*CHECKS, *MODEL_CHECKS}


@pytest.mark.parametrize("name", SAMPLE)
def test_the_suite_finds_a_fault_and_a_case_that_one_can_read(name: str) -> None:
    found = detect(catalog()[name].trials(None, "quick"))
    assert found.caught
    assert found.tokens is not None
    assert found.tokens <= SMALL
    assert found.message


@pytest.mark.parametrize("name", AT_SIZE.values())
def test_what_size_alone_shows_is_found_early_and_made_smaller(name: str) -> None:
    trials = catalog()[name].trials(None, "quick")
    found = detect([trial for trial in trials if trial.check in PRODUCTION])
    assert found.caught
    assert found.dtype == trials[0].dtype
    assert found.case is not None
    case = Case.from_dict(found.case)
    assert case.batch * case.heads * case.tokens * case.head_dim <= MOST_NUMBERS, "far fewer than the shape has"
    assert found.message


def test_shapes_of_production_are_walked_each_once_the_dear_at_last() -> None:
    (trial,) = (
        trial
        for trial in operator_trials(target_of(Banded(), "banded"), ("float32",), "quick")
        if trial.check == "gradients_of_keys"
    )
    counts = [trial.search(number, 1, True).cases for number in range(len(trial.cases))]
    plan = make_plan("banded", Runner(target_of(Banded(), "banded")), dtypes=("float32",))
    assert sum(counts) == len(walked(plan, "float32", CHECKS["gradients_of_keys"]))
    assert counts == [*trial.cases]
    assert [number for number, count in enumerate(counts) if count] == [SOME_SHAPES, MOST_SHAPES, len(counts) - 1]


def test_a_kernel_without_a_fault_survives() -> None:
    trials = operator_trials(target_of(Specimen(), "specimen"), ("float32",), "quick")
    short = [trial for trial in trials if trial.check in (SMALL_WORLD, "matches_reference", "mask_decoding")]
    assert not any(trial.search(0, 1, True).failure for trial in trials)
    assert not detect([trial for trial in short if trial.check != SMALL_WORLD]).caught


@pytest.mark.parametrize("each", INVISIBLE, ids=lambda each: each.fault)
def test_an_invisible_fault_stays_below_the_bound_where_it_is_said_to(each: Invisible) -> None:
    for dtype in each.dtypes:
        for trial in operator_trials(FAULTS[each.fault].target, (dtype,), "quick"):
            if trial.check in ("matches_reference", "integer_scores", "constant_values", "gradients_match_reference"):
                assert not kills(trial), f"{trial.check} sees {each.fault} in {dtype}"
    assert each.argument


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in NOT_CLAIMED])
def test_a_correct_kernel_passes(check: str, dtype: str) -> None:
    kinds: list[type[Specimen | Extended | Ranked]] = [Specimen, Differentiated, Extended, BottomRight, Ranked]
    kernel = next(each for each in kinds if CHECKS[check].applies_to(runner_of(each).features))
    candidate = runner_of(kernel)
    record = run_check(plan("specimen"), CHECKS[check], candidate, dtype, 25)
    assert record.passed, record


@pytest.mark.parametrize("kernel", [Banded, Chunked, Differentiated, Tiled, Validating])
def test_the_other_specimens_are_correct(kernel: type[Specimen]) -> None:
    features = features_of(kernel) | ({"validation"} if kernel is Validating else set())
    for trial in operator_trials(target_of(kernel(), kernel.__name__, features), ("float32", "float16"), "quick"):
        if trial.check in PRODUCTION and kernel is not Banded:
            continue  # the others cost what is quadratic in the tokens
        # A specimen has its tiles and its order in every dtype alike: a few cases of the second, more of the first.
        for number, cases in enumerate(trial.cases[: -1 if trial.dtype == "float32" else LONG_ROUND + 1]):
            failure = trial.search(number, 3, True).failure if cases else None
            assert failure is None, failure


def test_the_small_world_passes_a_correct_kernel_and_finds_a_fault_in_two_tokens() -> None:
    assert run_small_world(plan("specimen"), Runner(target_of(Specimen(), "specimen")), "float32").passed
    record = run_small_world(plan("fault"), Runner(FAULTS["global_counted_twice"].target), "float32")
    assert record.status == "failed"
    assert record.case == {"tokens": 2, "window": 1, "masked": ((),), "global_": ((0,),), "separate_globals": True}


def test_a_fault_of_an_unknown_class_or_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="kind: expected one of"):
        fault("no such class", "story", "mask_decoding", step="weigh")
    with pytest.raises(ValueError, match="name: expected one for each fault"):
        fault("window", "story", "mask_decoding", step="in_band", name="right_edge_short")(Specimen.in_band)
