"""`all --rehearse`: every stage runs, and a failure that is planted in each leaves all other results as they are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from device.results import read
from device.run import STAGES
from device.worker import units_of

from trueband.properties.gpu.triton_version import EXECUTE

pytestmark = [pytest.mark.evidence, pytest.mark.needs_triton(EXECUTE[80])]

HOW = ("exit", "raise", "sleep")
PLANTED = {stage: HOW[number % 2] for number, stage in enumerate(STAGES)} | {"memory": "sleep"}
STATUS = {"raise": "error", "exit": "crashed", "sleep": "out of time"}


@pytest.fixture(scope="module")
def done(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("kit") / "out"
    return kit(folder, "all", **PLANTED), folder


def test_the_planted_failures_are_recorded_and_nothing_else_fails(done: Any) -> None:
    process, folder = done
    units = [line for line in read(folder / "results.jsonl") if line["record"] == "unit"]
    planted = {line["stage"]: line["status"] for line in units if line["unit"] == "planted"}
    assert planted == {stage: STATUS[how] for stage, how in PLANTED.items()}, process.stderr
    others = [line for line in units if line["unit"] != "planted"]
    wrong = [(line["stage"], line["unit"], line["status"]) for line in others if line["status"] != "done"]
    assert wrong == [], (folder / "log.txt").read_text(encoding="utf-8")[-4000:]
    assert process.returncode == 1


def test_every_unit_of_every_stage_ran(done: Any) -> None:
    _, folder = done
    ran = [(line["stage"], line["unit"]) for line in read(folder / "results.jsonl") if line["record"] == "unit"]
    expected = [(stage, unit) for stage in STAGES for unit in ("planted", *units_of(stage, rehearsed=True))]
    assert sorted(ran) == sorted(expected)


def test_what_ran_where_comes_first_and_the_table_last(done: Any) -> None:
    process, folder = done
    head, *lines = read(folder / "results.jsonl")
    assert head["record"] == "run"
    assert head["rehearsed"]
    assert head["card"] == "rehearsal on CPU"
    assert {"torch", "triton", "numpy"} <= head["versions"].keys()
    assert {"date", "commit", "python", "trueband"} <= head.keys()
    table = process.stdout.splitlines()
    assert len(table) == sum(line["record"] == "unit" for line in lines)
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "results.jsonl"]


def test_the_gate_judged(done: Any) -> None:
    """Records of checks, and their worst errors, come back from the processes of the gate."""
    _, folder = done
    lines = read(folder / "results.jsonl")
    parts = {(line["stage"], line["unit"]): line for line in lines if line["record"] == "part"}
    for stage, unit in (("smoke", "triton"), ("check", "backward"), ("peers", "sdpa"), ("large", "shapes-bfloat16")):
        assert parts[stage, unit]["statuses"]["passed"] >= 1, json.dumps(parts[stage, unit])
        assert parts[stage, unit]["worst"]
