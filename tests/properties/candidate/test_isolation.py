"""The candidate's process: a crash, a hang, an error or a wrong result is a record, and the run goes on."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from trueband.commands.exit_codes import CRASHED, of_records
from trueband.properties.candidate.child import Child
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.candidate.target import Target, TargetError, load_target
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.running.engine import reproduce, run, run_check
from trueband.properties.running.plan import Plan, select

FILE = Path(__file__).parent / "cheats" / "processes.py"


def plan(name: str) -> Plan:
    return Plan(name, ("float32",), 40, (), ("matches_reference", "single_token"))


def start(name: str, time_limit: float = 60.0) -> RemoteRunner:
    return RemoteRunner(f"{FILE}:{name}", time_limit=time_limit)


@pytest.fixture
def case() -> Case:
    return Case(tokens=3, window=1, head_dim=2, family="normal")


def test_a_target_tells_what_it_is(case: Case) -> None:
    with start("declared") as candidate:
        assert (candidate.name, candidate.library) == ("declared", "numpy")
        assert candidate.dtypes == ("float64", "float32")
        assert candidate.features == {"any_window", "strided"}
        inputs = case.inputs()
        output = candidate.call(inputs.arrays, inputs.options, "float32")
        assert np.abs(output - inputs.output).max() <= inputs.bound.total.max()


def test_features_are_read_off_the_signature() -> None:
    with start("plain") as candidate:
        assert candidate.features == {"deterministic", "deterministic_gradients", "any_window", "strided"}
        assert candidate.dtypes == ("float32",)
    with start("good") as candidate:
        assert {"globals", "padding", "backward"} <= candidate.features


def test_a_crash_is_a_record_and_the_run_goes_on() -> None:
    with start("aborts") as candidate:
        records = list(run(plan("aborts"), candidate))
        assert [record.status for record in records] == ["crashed", "passed"]
        assert "SIGABRT" in records[0].message or "Abort" in records[0].message or "exit code" in records[0].message
        assert records[0].case is not None
        assert candidate.starts == 3  # it had died of the first call, too, which looks for its sizes


def test_a_process_that_the_system_kills_is_not_counted_as_wrong_numbers() -> None:
    with start("is_killed") as candidate:
        records = list(run(plan("is_killed"), candidate))
        assert [record.status for record in records] == ["out of memory", "passed"]
        assert "killed (out of memory?)" in records[0].message
        assert of_records(records) == CRASHED


def test_a_target_that_is_killed_while_it_loads_is_told(tmp_path: Path) -> None:
    path = tmp_path / "heavy.py"
    path.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
    with pytest.raises(TargetError, match=r"to load, got: .*killed \(out of memory\?\)"):
        RemoteRunner(f"{path}:kernel")


@pytest.mark.evidence
def test_a_hang_ends_at_the_time_limit_and_the_run_goes_on() -> None:
    with start("hangs", time_limit=2.0) as candidate:
        records = list(run(plan("hangs"), candidate))
        assert [record.status for record in records] == ["timeout", "passed"]


def test_a_call_that_crashes_or_hangs_says_so(case: Case) -> None:
    inputs = case.inputs()
    with start("aborts") as candidate, pytest.raises(CandidateEnded, match="exit code"):
        candidate.call(inputs.arrays, inputs.options, "float32")
    with start("hangs", time_limit=1.0) as candidate, pytest.raises(CandidateEnded, match="within 1 s"):
        candidate.call(inputs.arrays, inputs.options, "float32")


def test_nothing_stays_open_where_the_readers_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine. A stream that is left open is a ResourceWarning in whichever test runs next."""
    child = Child(f"{FILE}:good", "cpu", None)
    child.answer(600, "a start")
    with monkeypatch.context() as busy:
        busy.setattr(threading.Thread, "join", lambda *_, **__: None)
        busy.setattr(threading.Thread, "is_alive", lambda _: True)
        child.end()
    for reader in child._readers:
        reader.join()
    streams = (child._process.stdin, child._process.stdout, child._process.stderr)
    assert all(stream is not None and stream.closed for stream in streams)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "got RuntimeError: no such window"),
        ("wrong_shape", r"output: expected shape \(1, 1, 1, 2\), got"),
        ("wrong_dtype", "output: expected dtype float32, got float64"),
        ("no_array", "output: expected a plain numpy array, got list"),
    ],
)
def test_an_error_or_a_result_of_another_form_fails(name: str, message: str) -> None:
    with start(name) as candidate:
        record = run_check(plan(name), CHECKS["matches_reference"], candidate, "float32", 60)
        assert record.status == "failed"
        assert re.search(message, record.message)


def test_a_record_reproduces() -> None:
    with start("raises") as candidate:
        record = run_check(plan("raises"), CHECKS["matches_reference"], candidate, "float32", 60)
        again = reproduce({"check": record.check, "case": record.case}, "raises", candidate)
        assert (again.status, again.message) == (record.status, record.message)
        for wrong in ({"check": "nope", "case": record.case}, {"case": record.case}):
            with pytest.raises(ValueError, match="expected"):
                reproduce(wrong, "raises", candidate)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "expected module:callable"),
        ("no_such_module:x", "cannot import no_such_module"),
        ("no_such_file.py:x", "does not exist"),
        (f"{FILE}:nothing", "none of that name"),
        (f"{FILE}:not_callable", "expected a callable, got int"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(TargetError, match=message) as caught:
        RemoteRunner(spec)
    assert "\n" not in str(caught.value)


def test_a_target_that_declares_what_does_not_exist_is_an_error() -> None:
    for wrong in ({"dtypes": ("int8",)}, {"features": {"speed"}}, {"library": "tpu"}):
        with pytest.raises(TargetError, match=r"expected some of .*, got"):
            Target(len, **wrong)


def test_an_imported_name_works_like_a_file() -> None:
    assert load_target("trueband.adapters.chunked:target").dtypes == ("float64", "float32", "bfloat16", "float16")


def test_checks_are_chosen_by_feature_and_by_name() -> None:
    names = select(None, {"padding"})
    assert "masked_rows_are_zero" in names
    assert "global_key_counts_once" not in names
    assert "gradients_match_reference" not in names
    assert select("mask_decoding or single", {"padding"}) == ("mask_decoding", "single_token")
    assert "single_token" not in select("not single", {"padding"})
    assert select("no_such_check", {"padding"}) == ()
