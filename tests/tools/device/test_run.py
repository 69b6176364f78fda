"""What is recorded is not run again; a spent budget tells what is left; wrong usage is told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.checkout import TOOLS, link
from device.results import Results, read
from device.run import environment, parser, run_stage
from device.stage import Stage
from device.worker import units_of

FEW = ("facts", "--unit", "device", "copy")


def of(folder: Path, record: str) -> list[dict[str, Any]]:
    return [line for line in read(folder / "results.jsonl") if line["record"] == record]


def test_what_is_recorded_is_not_run_again(kit: Any, tmp_path: Path) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    assert kit(first, *FEW[:3]).returncode == 0
    assert kit(second, *FEW, "--resume", str(first / "results.jsonl")).returncode == 0
    assert [line["unit"] for line in of(second, "unit")] == ["copy"]
    assert kit(first, *FEW, "--resume").returncode == 0
    assert [line["unit"] for line in of(first, "unit")] == ["device", "copy"]
    assert len(of(first, "run")) == 2
    assert kit(third, "facts", "--unit", "device", "--commit", "abc").returncode == 0
    assert of(third, "run")[0]["commit"] == "abc"


def test_a_spent_budget_tells_what_is_left(kit: Any, tmp_path: Path) -> None:
    done = kit(tmp_path / "out", "facts", "--seconds", "0.001")
    (left,) = of(tmp_path / "out", "left")
    assert left["stage"] == "facts"
    assert left["units"] == list(units_of("facts", rehearsed=True))
    assert "facts: left device, software" in done.stdout


def test_the_checkout_comes_before_what_else_is_on_the_path(kit: Any, tmp_path: Path, monkeypatch: Any) -> None:
    broken = tmp_path / "path" / "trueband"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    assert kit(tmp_path / "out", "facts", "--unit", "device").returncode == 0


def test_wrong_usage_is_told(kit: Any, tmp_path: Path) -> None:
    for arguments, told in ((("ghost",), "invalid choice"), (("facts", "--seconds", "0"), "--seconds: expected more")):
        done = kit(tmp_path / "out", *arguments)
        assert done.returncode == 2
        assert told in done.stderr


def test_a_process_that_never_begins_is_recorded(tmp_path: Path) -> None:
    variables = environment(link(tmp_path / "packages"), rehearsed=True)
    results = Results(tmp_path / "results.jsonl")
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
        left = Stage("facts", ["ghost"], True, 100, variables, log).run(results)
    assert left == ["ghost"]
    assert [(line["unit"], line["status"]) for line in of(tmp_path, "unit")] == [("(start)", "crashed")]
    assert "KeyError: 'ghost'" in (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert of(tmp_path, "left")[0]["units"] == ["ghost"]


def test_a_stage_without_units_is_recorded(tmp_path: Path) -> None:
    """Its module cannot be imported."""
    options = parser().parse_args(["bench", "--rehearse"])
    variables = {**os.environ, "PYTHONPATH": str(TOOLS)}
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
        run_stage("ghost", options, set(), variables, Results(tmp_path / "results.jsonl"), log)
    (line,) = of(tmp_path, "unit")
    assert (line["unit"], line["status"]) == ("(units)", "error")
    assert "ModuleNotFoundError" in line["message"]


def test_nothing_outlives_the_run(tmp_path: Path) -> None:
    """A machine may end a command at any time; what went on would hold the device."""
    marked = {**os.environ, "TRUEBAND_DEVICE_PLANT": '{"facts": "sleep"}', "TRUEBAND_TEST_MARK": str(tmp_path)}
    command = [sys.executable, str(TOOLS / "device/run.py"), "facts", "--rehearse", "--out", str(tmp_path)]
    with subprocess.Popen(command, env=marked, stderr=subprocess.DEVNULL) as process:
        assert until(lambda: "device.worker" in marked_processes(tmp_path), 120)
        process.kill()
    assert until(lambda: not marked_processes(tmp_path), 20)


def marked_processes(mark: Path) -> str:
    """The command lines of the processes that have the mark in their environment."""
    found = ""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(mark).encode() in (folder / "environ").read_bytes():
                found += (folder / "cmdline").read_text(encoding="utf-8")
    return found


def until(reached: Callable[[], bool], seconds: float) -> bool:
    """Wait for something, at most so long; whether it came."""
    end = time.monotonic() + seconds
    while not (there := reached()) and time.monotonic() < end:
        time.sleep(0.1)
    return there
