"""`trueband faults`, as a user runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.cli import main
from trueband.properties.faults import Specimen, detection
from trueband.properties.faults.catalog import catalog
from trueband.properties.faults.seeded import registry
from trueband.properties.running.plan import TIERS, steps

pytestmark = pytest.mark.evidence

COMMAND = [sys.executable, "-m", "trueband", "faults"]
FEW = ("mask_decoding", "single_token")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_every_fault_is_told_with_its_check_its_time_and_its_size(tmp_path: Path, jobs: str) -> None:
    report = tmp_path / "faults.jsonl"
    arguments = ["-k", "edge_wide or bias_twice", "--jobs", jobs, "--json", str(report)]
    run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "caught: 3 of 3 (goal: all)" in run.stdout
    head, *faults, summary = read(report)
    assert (head["faults"], head["machine"]["numpy"]) == (3, np.__version__)
    assert "torch" not in head["machine"]  # faults are computed without it
    assert {line["fault"] for line in faults} == {"right_edge_wide", "left_edge_wide", "model:bias_twice"}
    assert all(line["caught"] and line["check"] and line["tokens"] for line in faults)
    assert summary["record"] == "summary"
    assert summary["survivors"] == []


def test_the_matrix_has_every_check_of_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "matrix.jsonl"
    arguments = ["faults", "-k", "model:bias_lost", "--matrix", "--json", str(report)]
    assert main(arguments) == 0
    (line,) = (line for line in read(report) if line["record"] == "fault")
    assert "logits" in line["killed_by"]
    assert "embeddings" in line["spared_by"]
    assert "checks that notice none: " in capsys.readouterr().out


def test_a_survivor_is_named_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "FAULTS", dict(registry.FAULTS))
    for tier in ("quick", "full"):  # no case of any check tells it: properties/test_faults.py; a few of two will do
        monkeypatch.setitem(TIERS, tier, (12, False))
    monkeypatch.setattr(detection, "steps", lambda plan: [each for each in steps(plan) if each.check in FEW])
    harmless = registry.Fault("harmless", "window", "nothing is wrong", (), Specimen(), "", frozenset({"scale"}))
    monkeypatch.setattr("trueband.properties.faults.catalog.FAULTS", {"harmless": harmless})
    catalog.cache_clear()
    try:
        assert main(["faults", "-k", "harmless", "--dtype", "float32"]) == 1
    finally:
        catalog.cache_clear()
    assert "SURVIVES harmless: nothing is wrong" in capsys.readouterr().out


def test_the_list_tells_what_is_invisible_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--list", "-k", "precision or scale"]) == 0
    out = capsys.readouterr().out
    assert "scale_sign_lost" in out
    assert "invisible in float32, float16: softmax_in_single: single precision is what" in out


def test_a_pattern_that_means_no_fault_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "-k", "no_such_fault"]) == 2
    assert "-k: expected a part of a fault's name, class or level, got 'no_such_fault'" in capsys.readouterr().err


def test_what_size_alone_shows_has_a_bar_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "faults.jsonl"
    assert main(["faults", "-k", "grid_of_16_heads or right_edge_wide", "--json", str(report)]) == 0
    _, *faults, summary = read(report)
    assert {line["fault"]: line["at_size"] for line in faults} == {"grid_of_16_heads": True, "right_edge_wide": False}
    within = {line["fault"]: line["seconds"] <= (5 if line["at_size"] else 1) for line in faults}
    assert summary["at_size"] == 1
    assert (summary["within_5_s"], summary["within_1_s"]) == (within["grid_of_16_heads"], within["right_edge_wide"])
    out = capsys.readouterr().out
    assert re.search(r"^within 1 s: [01] of 1, ", out, re.MULTILINE)
    assert re.search(r"^within 5 s, of those that size alone shows: [01] of 1, ", out, re.MULTILINE)
    assert re.search(r"^grid_of_16_heads .*  needed$", out, re.MULTILINE)
    assert not re.search(r"^right_edge_wide .*  needed$", out, re.MULTILINE)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_leaves_what_was_done(tmp_path: Path, jobs: str, interrupted: Any) -> None:
    report = tmp_path / "faults.jsonl"
    out, _ = interrupted([*COMMAND, "--json", str(report), "--jobs", jobs], report, 3)
    lines = read(report)
    assert len(lines) >= 3
    assert all(line["caught"] for line in lines if line["record"] == "fault")
    assert "caught: " in out
