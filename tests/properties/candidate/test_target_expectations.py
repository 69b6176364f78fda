"""Expected failures: told from others, still run, and a failure where the check passes or does not exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueband.properties.results.record import Record
from trueband.properties.running.expected_failures import ExpectedFailures

CASE = {"tokens": 2, "window": 0}


def record(check: str, status: str, dtype: str = "float32") -> Record:
    return Record("operator", check, "claim", "kernel", dtype, "cpu", status, 7, 1.0, 0.5, 3)


def never(line: dict[str, Any]) -> Record:
    raise AssertionError(f"ran again: {line}")


def judged(values: dict[str, Any], *records: Record, again: Any = never) -> list[Record]:
    return list(ExpectedFailures(values).apply(records, again))


def test_what_nobody_expects_is_left_alone() -> None:
    given = [record("a", "passed"), record("b", "failed"), record("c", "crashed")]
    assert judged({"other": "reason"}, *given) == given


@pytest.mark.parametrize("status", ["failed", "crashed", "timeout"])
def test_an_expected_failure_is_no_failure_and_carries_its_reason(status: str) -> None:
    (one,) = judged({"a": "0 x NaN"}, record("a", status))
    assert (one.status, one.reason, one.passed) == ("expected", "0 x NaN", True)
    assert json.loads(one.to_json())["reason"] == "0 x NaN"


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    (one,) = judged({"a": "0 x NaN"}, record("a", "passed"))
    assert (one.status, one.passed) == ("failed", False)
    assert "expected to fail (0 x NaN), passes now" in one.message


def test_a_failure_that_not_every_machine_shows_may_pass() -> None:
    values = {"a": {"reason": "last bits", "always": False}}
    given = [record("a", "passed"), record("a", "failed")]
    assert [one.status for one in judged(values, *given)] == ["passed", "expected"]
    assert [one.status for one in ExpectedFailures(values).settle(given, complete=True)] == ["passed", "expected"]


def test_a_known_case_is_tried_before_a_check_is_said_to_pass() -> None:
    lines: list[dict[str, Any]] = []

    def again(status: str) -> Any:
        def run(line: dict[str, Any]) -> Record:
            lines.append(line)
            return record("a", status, line["case"]["dtype"])

        return run

    values = {"a": {"reason": "why", "case": CASE}}
    (failed,) = judged(values, record("a", "passed", "float64"), again=again("failed"))
    assert (failed.status, failed.cases) == ("expected", 8)
    (passed,) = judged(values, record("a", "passed", "led float32"), again=again("passed"))
    assert passed.status == "failed"
    assert lines == [
        {"check": "a", "case": {**CASE, "dtype": "float64"}},
        {"check": "a", "case": {**CASE, "dtype": "float32"}},
    ]
    assert judged(values, record("a", "failed"))[0].status == "expected"  # the search found it: not run again


@pytest.mark.parametrize(
    ("key", "dtype", "meant"),
    [
        ("a", "float32", True),
        ("a[float64]", "float64", True),
        ("a[float64]", "float32", False),
        ("a[float64, float16]", "float16", True),
        ("a[led]", "led float32", True),
        ("a[led]", "longformer float32", False),
        ("a[led float64]", "led float64", True),
        ("a[led float64]", "led float32", False),
        ("a[longformer float64, led]", "led float32", True),
    ],
)
def test_the_dtypes_in_brackets_are_meant(key: str, dtype: str, meant: bool) -> None:
    (one,) = judged({key: "why"}, record("a", "failed", dtype))
    assert one.status == ("expected" if meant else "failed")


def test_an_unknown_name_is_an_error_that_helps() -> None:
    expected = ExpectedFailures({"matches_reference": "why", "mask_decodin": "why"}, "file.json")
    with pytest.raises(
        ValueError, match=r"file.json: expected names of checks .*'mask_decodin' \(is mask_decoding meant"
    ):
        expected.check_names(["matches_reference", "mask_decoding"])
    expected.check_names(["matches_reference", "mask_decodin"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"expected \{check: reason\}, got list"),
        ({"a": ""}, "expected a reason for a, got ''"),
        ({"a": 3}, "expected a reason for a, got 3"),
        ({"a": {"case": CASE}}, "expected a reason for a, got None"),
        ({"a": {"reason": "why", "cases": 1}}, "expected reason and case, or always, for a, got reason, cases"),
        ({"a": {"reason": "why", "case": CASE, "always": False}}, "for a, got reason, case, always"),
        ({"a": {"reason": "why", "always": "no"}}, "expected always of a to be true or false, got 'no'"),
        ({"a": {"reason": "why", "case": "x"}}, "expected a case of a to be an object, got 'x'"),
        ({"a[float64": "why"}, r"expected check or check\[dtype, ...\], got 'a\[float64'"),
        ({"a": "why", "a[float64]": "why"}, "expected one reason for each check and dtype, got two for a"),
        ({"a[led]": "why", "a[float64]": "why"}, "got two for a"),
    ],
)
def test_another_form_is_an_error(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpectedFailures(values)


def test_two_reasons_that_cannot_meet_are_fine() -> None:
    assert len(ExpectedFailures({"a[led float64]": "x", "a[led float32]": "y", "b": "z"}).expectations) == 3


def test_json_and_toml_files_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": "why", "b": {"reason": "other", "case": CASE}}))
    (tmp_path / "a.toml").write_text('a = "why"\n[b]\nreason = "other"\ncase = {tokens = 2, window = 0}\n')
    one, two = (ExpectedFailures.from_file(tmp_path / name).expectations for name in ("a.json", "a.toml"))
    assert one == two
    for name in ("bad.json", "bad.toml"):
        (tmp_path / name).write_text("{")
        with pytest.raises(ValueError, match=rf"{name}: expected (JSON|TOML), got something else"):
            ExpectedFailures.from_file(tmp_path / name)
