"""`trueband check --gate`: cases that cannot be known in advance, a seed told at the end, and a second process."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.cli import parser
from trueband.commands.again import again
from trueband.properties.results.record import Record
from trueband.properties.running.manifest import unrun
from trueband.properties.running.plan import Plan, steps

pytestmark = pytest.mark.evidence

CHEATS = Path(__file__).parents[1] / "properties/candidate/cheats"


@pytest.fixture
def trueband(trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A run whose kernel may take notes."""

    def run(*arguments: object, notes: Path | None = None) -> Any:
        monkeypatch.setenv("NOTES", str(notes))
        return trueband_here(*arguments)

    return run


def test_a_kernel_that_knows_the_visible_cases_passes_without_the_gate_and_fails_in_it(
    tmp_path: Path, trueband: Callable[..., Any]
) -> None:
    notes, some = tmp_path / "notes", ("-k", "matches_reference", "--cases", "40")
    assert trueband("check", f"{CHEATS}/numbers.py:takes_notes", *some, notes=notes).returncode == 0
    knowing = f"{CHEATS}/numbers.py:knows_the_questions"
    assert trueband("check", knowing, *some, notes=notes).returncode == 0
    gate = trueband("check", knowing, *some, "--gate", notes=notes)
    assert gate.returncode == 1

    line = re.search(r"The same cases again: trueband (.*)", gate.stdout)
    assert line is not None
    again = trueband(*shlex.split(line[1]), notes=notes)
    assert again.returncode == 1
    verdicts = [re.findall(r"verdict +(.*)", run.stdout) for run in (gate, again)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]


def test_the_seed_is_told_at_the_end_only(tmp_path: Path, trueband: Callable[..., Any]) -> None:
    report = tmp_path / "records.jsonl"
    some = ("-k", "single_token", "--cases", "6", "--json", report)
    gate = trueband("check", f"{CHEATS}/processes.py:good", *some, "--gate")
    assert gate.returncode == 0, gate.stdout + gate.stderr
    head, *records, _, last = map(json.loads, report.read_text().splitlines())
    assert head["seed"] is None
    told = [(record["check"], record["seed"]) for record in records]
    assert told == [("single_token", None), ("second_process", None)]
    assert last["record"] == "gate"
    assert f"The secret seed was {last['seed']}." in gate.stdout
    other = trueband("check", f"{CHEATS}/processes.py:good", *some, "--gate")
    assert f"The secret seed was {last['seed']}." not in other.stdout


def test_the_line_of_the_same_cases_has_every_option_that_was_given() -> None:
    asked = "check some.py:kernel --gate --tier full -k one --dtype float32 --dtype float16 --time-limit 5"
    line = again(parser().parse_args([*asked.split(), "--memory-limit", "9", "--expected-failures", "a b.json"]), 7)
    assert shlex.split(line)[:5] == ["trueband", "check", "some.py:kernel", "--seed", "7"]
    again_parsed, parsed = (vars(parser().parse_args(words)) for words in (shlex.split(line)[1:], asked.split()))
    assert {name for name in parsed if parsed[name] != again_parsed[name]} == {
        "gate",
        "seed",
        "memory_limit",
        "expected_failures",
    }
    assert (again_parsed["memory_limit"], str(again_parsed["expected_failures"])) == (9, "a b.json")
    models = again(parser().parse_args(["check", "--model-target", "mine.py:factory", "--gate"]), 3)
    assert models == "trueband check chunked --seed 3 --model-target mine.py:factory"


def test_a_seed_of_the_users_own_is_no_secret(trueband: Callable[..., Any]) -> None:
    run = trueband("check", f"{CHEATS}/processes.py:good", "--gate", "--seed", 3)
    assert run.returncode == 2
    assert "--seed cannot be used with --gate: a gate draws its own seed, which is secret" in run.stderr


def test_a_second_process_must_agree_with_the_first(tmp_path: Path, trueband: Callable[..., Any]) -> None:
    some = ("-k", "matches_reference", "--cases", "20")
    right_once = f"{CHEATS}/numbers.py:right_in_its_first_process"
    gate = trueband("check", right_once, *some, "--gate", notes=tmp_path / "notes")
    assert gate.returncode == 1
    assert "FAILED second_process [float32]" in gate.stdout
    assert "output in a second process" in gate.stdout


def record(check: str, cases: int = 1, status: str = "passed") -> Record:
    return Record("operator", check, "", "x", "float32", "cpu", status, cases, 0.0)


@pytest.mark.parametrize(
    ("records", "left_out"),
    [
        ([record("single_token"), record("stateless"), record("second_process")], []),
        ([record("single_token"), record("second_process")], ["stateless"]),
        ([record("single_token", cases=0), record("stateless"), record("second_process")], ["single_token"]),
        ([record("single_token", 0, "crashed"), record("stateless"), record("second_process")], []),
        ([record("single_token"), record("stateless")], ["second_process"]),
    ],
)
def test_a_check_that_has_not_run_is_a_failure(records: list[Record], left_out: list[str]) -> None:
    plan = Plan("x", ("float32",), 9, (), ("single_token", "stateless"), gate=True)
    assert [step.check for step in steps(plan)] == ["single_token", "stateless", "second_process"]
    missing = unrun(plan, records)
    assert [one.check for one in missing] == left_out
    assert all(one.status == "failed" for one in missing)
