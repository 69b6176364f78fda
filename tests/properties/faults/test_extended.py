"""The specimens of the second edition are correct, and its faults are found in few tokens."""

from __future__ import annotations

from typing import Any

import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import SECOND_EDITION
from trueband.properties.checks import CHECKS
from trueband.properties.faults import FAULTS, target_of
from trueband.properties.faults.catalog import catalog
from trueband.properties.faults.detection import LONG_ROUND, detect, operator_trials
from trueband.properties.faults.seeded.registry import SPECIMEN_FEATURES, features_of
from trueband.properties.faults.specimens.bottom_right import BottomRight
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_tiled import ExtendedTiled
from trueband.properties.faults.specimens.plain import Specimen
from trueband.properties.running.engine import run_small_world
from trueband.properties.running.plan import SMALL_WORLD, Plan

pytestmark = pytest.mark.evidence

EXTENDED = [name for name, each in FAULTS.items() if isinstance(each.kernel, Extended)]
# Of libraries that people use, as they were reported.
PUBLISHED = (
    "left_of_a_pair_counts_itself",
    "aligned_at_the_top_left",
    "first_tile_late",
    "sink_of_every_tile",
    "segment_of_tile",
    "key_head_modulo",
)
MOST_TOKENS = 8
SPECIMENS = (Extended, ExtendedTiled, BottomRight)


def test_a_specimen_claims_the_edition_of_its_class() -> None:
    assert features_of(Specimen) == SPECIMEN_FEATURES
    libraries = {"validation", "nan_local", "causal_only"}
    assert features_of(Extended) == SECOND_EDITION - libraries == features_of(ExtendedTiled)
    assert "bottom_right" in features_of(BottomRight)
    assert "offset" not in features_of(BottomRight)
    assert FAULTS["sink_of_every_tile"].features == features_of(ExtendedTiled)
    assert FAULTS["sink_in_normalizer"].features == SPECIMEN_FEATURES


def test_the_second_edition_has_80_faults_of_its_own() -> None:
    assert len(EXTENDED) >= 80


def combinations() -> list[Any]:
    """One dtype of the dear specimen; at night all."""
    every = [(kernel, dtype) for kernel in SPECIMENS for dtype in ("float64", "float32", "float16")]
    dear = [pair for pair in every if pair[0] is Extended and pair[1] != "float32"]
    return [pytest.param(*pair, marks=pytest.mark.nightly if pair in dear else ()) for pair in every]


@pytest.mark.parametrize(("kernel", "dtype"), combinations())
def test_the_specimens_of_the_second_edition_pass_the_quick_tier(kernel: type[Extended], dtype: str) -> None:
    for trial in operator_trials(target_of(kernel(), kernel.__name__), (dtype,), "quick"):
        if trial.check == SMALL_WORLD or CHECKS[trial.check].structure.production:
            continue  # the former has a test of its own; the latter cost what is quadratic in the tokens
        for number, cases in enumerate(trial.cases if kernel is Extended else trial.cases[: LONG_ROUND + 1]):
            failure = trial.search(number, 3, True).failure if cases else None
            assert failure is None, failure


@pytest.mark.parametrize(
    "kernel", [Extended, *(pytest.param(kernel, marks=pytest.mark.nightly) for kernel in (ExtendedTiled, BottomRight))]
)
def test_the_specimens_of_the_second_edition_pass_the_small_world(kernel: type[Extended]) -> None:
    plan = Plan("specimen", ("float32",), 1, ("float32",), ())
    record = run_small_world(plan, Runner(target_of(kernel(), "specimen")), "float32")
    assert record.passed, record


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_fault_is_found_in_few_tokens(name: str) -> None:
    found = detect(catalog()[name].trials(None, "quick"))
    assert found.caught
    assert found.tokens is not None
    assert found.tokens <= MOST_TOKENS
    assert found.message
