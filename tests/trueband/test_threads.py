"""How many threads compute: one, unless the user says otherwise, and then in every library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trueband.starting.threads import VARIABLES, single

KERNELS = Path(__file__).with_name("kernels.py")
OPENMP, MKL, OPENBLAS = VARIABLES


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {OPENMP, MKL, OPENBLAS}),
        ({MKL: "3"}, {OPENMP, OPENBLAS}),
        ({MKL: "3", OPENBLAS: "2"}, {OPENMP}),
        ({OPENMP: "2"}, set()),
        ({OPENMP: "2", MKL: "3"}, set()),
    ],
)
def test_one_is_asked_for_where_the_user_has_asked_for_nothing(given: dict[str, str], asked: set[str]) -> None:
    assert single(given) == dict.fromkeys(asked, "1")


@pytest.mark.evidence
@pytest.mark.parametrize("threads", [None, 2])
def test_the_users_number_reaches_the_process_that_computes(threads: int | None, tmp_path: Path) -> None:
    report = tmp_path / "records.jsonl"
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {} if threads is None else {OPENMP: str(threads)}
    command = [sys.executable, "-m", "trueband", "check", f"{KERNELS}:right", "-k", "single_token", "--cases", "6"]
    done = subprocess.run([*command, "--json", str(report)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    machine = json.loads(report.read_text(encoding="utf-8").splitlines()[0])["machine"]
    assert machine["threads"] == (threads or 1)
    told = {name: machine[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in machine}
    assert told == ({OPENMP: "1", MKL: "1"} if threads is None else {OPENMP: "2"})
