"""Tensors larger than the memory that a run may hold: wrapped offsets are told, and nothing else takes memory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from trueband.commands.sanitize import exit_code
from trueband.properties.gpu.processes import KILLED
from trueband.properties.gpu.sanitizer.finding import Finding
from trueband.properties.gpu.sanitizer.process import Outcome, sanitize

FILE = Path(__file__).with_name("large.py")
LIMIT = 1024  # MiB; half of what one tensor would take, a tenth of what shadow memory of all its elements would

WRAPPED = {
    "wraps_in_a_load": "out-of-bounds load",
    "wraps_in_a_store": "out-of-bounds store",
    "wraps_in_pointer_arithmetic": "out-of-bounds load",
    "wraps_in_an_atomic": "out-of-bounds atomic",
}
FAR = {
    "reads_what_nothing_has_written": "unwritten read",
    "two_programs_write_a_far_row": "write/write race",
    "sums_undefined_lanes_of_a_far_row": "missing other",
}


def outcome(name: str) -> Outcome:
    return sanitize(f"{FILE}:{name}", memory_limit=LIMIT)


def only_finding(name: str, kind: str) -> Finding:
    """What is found, which is of this kind, at the line with the fault."""
    found = outcome(name)
    assert found.crash == ""
    assert {finding.kind for finding in found.findings} == {kind}
    assert all(finding.place.source.endswith("# fault") for finding in found.findings)
    return found.findings[0]


@pytest.mark.evidence
@pytest.mark.parametrize("name", WRAPPED)
def test_an_offset_that_wraps_is_told_at_its_line(name: str) -> None:
    finding = only_finding(name, WRAPPED[name])
    assert finding.shape == (2600, 1_000_003)
    assert finding.index[0] < 0
    row, column = finding.unwrapped or (0, 0)
    assert 2597 <= row < 2600
    assert column % 16 == 0
    assert f"an int32 offset has wrapped: in int64 it would be that of element [{row}, {column}]" in str(finding)
    assert Finding.from_dict(finding.to_dict()) == finding


@pytest.mark.evidence
@pytest.mark.parametrize("name", FAR)
def test_other_faults_in_far_rows_are_told(name: str) -> None:
    finding = only_finding(name, FAR[name])
    assert (finding.index[0], finding.unwrapped) == (2599, None)


def test_in_int64_all_is_well() -> None:
    found = outcome("in_int64_all_is_well")
    assert (found.findings, found.crash, found.launches) == ([], "", 1)


def test_a_run_that_holds_too_much_is_ended_and_told() -> None:
    found = sanitize(f"{FILE}:needs_too_much", memory_limit=700)
    assert "held more than 700 MiB of memory, the memory limit" in found.crash
    assert found.launches == 1  # what had been seen is there
    assert exit_code(found) == 3


def test_a_process_that_the_system_kills_is_no_wrong_kernel() -> None:
    found = outcome("is_killed")
    assert (found.crash, found.findings, found.launches) == (KILLED, [], 1)
    assert exit_code(found) == 3


def test_every_fault_is_planted_at_a_line() -> None:
    source = FILE.read_text(encoding="utf-8")
    names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert {*WRAPPED, *FAR} <= names
    assert source.count("# fault\n") == len(WRAPPED) + len(FAR)
