"""Failures that are not the kernel's numbers: an error with its traceback, what it printed, a changed input, a killed
process, a busy machine.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from trueband.properties.candidate.errors import CHEATING, FAILED, TIMEOUT, CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.cases.case import Case
from trueband.properties.results.record import Record
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan
from trueband.reports.console import print_failures
from trueband.reports.summary import headline

KERNELS = '''
import ctypes, os, pathlib, signal, sys, time
import numpy as np

HERE = pathlib.Path(__file__).parent

def right(query, key, value, *, window):
    place = np.arange(query.shape[2])
    near = abs(place[:, None] - place) <= window
    scores = np.where(near, query @ key.swapaxes(2, 3) / query.dtype.type(query.shape[3] ** 0.5), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ value

def raises(query, key, value, *, window):
    print("tokens", query.shape[2])
    return right(check_tiles(query), key, value, window=window)

def check_tiles(query):
    if query.shape[2] > 3:
        raise IndexError("tile 3 of 2")
    return query

def changes(query, key, value, *, window):
    output = right(query, key, value, window=window)
    query += 1
    return output

def second_row(query, key, value, *, window):
    """Wrong in every row of the batch, but only if it is not the first alone."""
    return right(query, key, value, window=window) + (query.shape[2] > 1)

def killed_once(query, key, value, *, window):
    if not (HERE / "killed").exists():
        (HERE / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return right(query, key, value, window=window)

def computes(query, key, value, *, window):
    until = time.process_time() + 1.2
    while time.process_time() < until:
        pass
    return right(query, key, value, window=window)

def sleeps(query, key, value, *, window):
    time.sleep(30)
'''


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    (tmp_path / "kernels.py").write_text(KERNELS, encoding="utf-8")
    return tmp_path / "kernels.py"


def records(
    kernels: Path, name: str, pattern: str = "matches_reference or single_token", gate: bool = False
) -> list[Record]:
    with RemoteRunner(f"{kernels}:{name}") as candidate:
        plan = make_plan(name, candidate, cases=60, dtypes=("float32",), pattern=pattern, gate=gate)
        return [each for each in run(plan, candidate) if each.check != "second_process"]


def test_an_error_shows_its_traceback_and_what_was_printed(kernels: Path) -> None:
    (record,) = records(kernels, "raises", "matches_reference")
    assert record.status == FAILED
    lines = record.traceback.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[1].strip().endswith("in raises")  # no frame of the harness before it
    assert lines[-1] == "IndexError: tile 3 of 2"
    assert record.printed == "tokens 4"
    assert json.loads(record.to_json())["traceback"] == record.traceback


def test_an_error_counts_once(kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = records(kernels, "raises", "matches_reference or locality or stateless")
    failed = [each for each in found if not each.passed]
    assert len(failed) >= 3
    hidden = len(failed) - 1
    assert f", {hidden} of them by an error that another shows" in headline(found)
    print_failures(failed)
    shown = capsys.readouterr().out
    assert shown.count("IndexError: tile 3 of 2") == 2  # the verdict, and the last line of the traceback
    assert f"hides      {hidden} more checks that the same error ended" in shown
    other = replace(failed[0], traceback=failed[0].traceback.replace("in check_tiles", "in elsewhere"))
    assert "another shows" not in headline([failed[0], other])


@pytest.mark.parametrize(("gate", "status"), [(False, FAILED), (True, CHEATING)])
def test_a_changed_input_is_a_cheat_in_a_gate_only(kernels: Path, gate: bool, status: str) -> None:
    found = records(kernels, "changes", "matches_reference", gate)
    assert {each.status for each in found} == {status}
    assert "expected an unchanged input" in found[0].message


def test_the_smallest_case_is_one_sequence(kernels: Path) -> None:
    """`layouts` of expanded inputs need more than one row; no other case of this kernel does."""
    found = records(kernels, "second_row", "row_alone or batch_permutation or matches_reference or duplicate_rows")
    for record in found:
        if not record.passed:
            assert record.case is not None
            assert record.case.get("batch", 1) == 1, record


def test_a_process_that_is_killed_once_is_asked_again(kernels: Path) -> None:
    found = records(kernels, "killed_once")
    assert (kernels.parent / "killed").exists()
    assert {each.status for each in found} == {"passed"}


@pytest.mark.evidence
def test_what_a_busy_machine_does_not_let_compute_is_waited_for(kernels: Path) -> None:
    """The limit is of the processor: the process gets a sixth of one, and is done long after the limit by the clock."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            for signal_, seconds in ((signal.SIGSTOP, 0.05), (signal.SIGCONT, 0.01)):
                os.kill(pid, signal_)
                time.sleep(seconds)

    inputs = Case(tokens=2, window=1).inputs()
    with RemoteRunner(f"{kernels}:computes") as candidate:
        candidate.time_limit = 2.0
        assert candidate._child is not None
        pid, thread, begun = candidate._child.pid, threading.Thread(target=busy), time.monotonic()
        thread.start()
        try:
            candidate.call(inputs.arrays, inputs.options, "float32")
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - begun > 2.0


def test_what_does_nothing_ends_at_the_limit(kernels: Path) -> None:
    inputs = Case(tokens=2, window=1).inputs()
    with RemoteRunner(f"{kernels}:sleeps", time_limit=1.0) as candidate:
        begun = time.monotonic()
        with pytest.raises(CandidateEnded, match="expected an answer within 1 s, got none") as caught:
            candidate.call(inputs.arrays, inputs.options, "float32")
        assert time.monotonic() - begun < 10
        assert (caught.value.status, caught.value.by_system) == (TIMEOUT, True)
