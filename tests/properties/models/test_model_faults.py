"""Every model check kills the faults it is for, every fault dies, and the reference passes against itself."""

from __future__ import annotations

import pytest

from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.faults import MODEL_FAULTS
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.running.models import model_steps, run_model_check, run_model_step
from trueband.properties.running.search import OWN_ERROR

pytestmark = pytest.mark.evidence

TRIPLES = [
    (fault.name, check, architecture)
    for fault in MODEL_FAULTS.values()
    for check in fault.killed_by
    for architecture in fault.architectures
]


@pytest.mark.parametrize(("fault", "check", "architecture"), TRIPLES)
def test_a_check_kills_the_faults_it_is_for(fault: str, check: str, architecture: str) -> None:
    dtype = MODEL_CHECKS[check].dtypes[-1]
    record = run_model_check(fault, MODEL_FAULTS[fault].candidate, MODEL_CHECKS[check], architecture, dtype, 150)
    assert record.status == "failed", record
    assert record.case is not None
    assert record.message
    assert "expected a result, got" not in record.message  # it computes, wrongly: it does not fall over
    assert OWN_ERROR not in record.message  # and a check tells it by a verdict: it does not fall over either


@pytest.mark.parametrize("check", MODEL_CHECKS)
def test_every_check_has_a_fault_to_kill(check: str) -> None:
    assert any(check in fault.killed_by for fault in MODEL_FAULTS.values())


@pytest.mark.parametrize("check", MODEL_CHECKS)
def test_the_reference_passes(check: str) -> None:
    for step in model_steps([check], ReferenceModels()):
        record = run_model_step("reference", ReferenceModels(), step)
        assert record.passed, record
