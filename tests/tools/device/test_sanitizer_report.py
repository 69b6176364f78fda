"""Reports of compute-sanitizer, in its own form, are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device.checkout import TOOLS
from device.sanitizer_report import Found, Report, parse
from device.stages import sanitizer
from device.unit import Context

MEMCHECK = """\
========= COMPUTE-SANITIZER
what the program prints
========= Invalid __global__ write of size 4 bytes
=========     at band_forward+0x160 in forward.py:34
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f6510c00001 is misaligned
=========     and is inside the nearest allocation at 0x7f6510c00000 of size 4 bytes
=========     Saved host backtrace up to driver entry point at kernel launch time
=========     Host Frame: [0x215b9c]
=========                in /lib/x86_64-linux-gnu/libcuda.so.1
=========
========= Program hit cudaErrorLaunchFailure (error 719) due to "unspecified launch failure" on CUDA API call.
=========     Saved host backtrace up to driver entry point at error
=========
========= ERROR SUMMARY: 2 errors
"""
RACECHECK = """\
========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at span_forward(float *, int)+0x60 in span_forward.py:27
=========     and Read access at span_forward(float *, int)+0xa0 in span_forward.py:31 [508 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
CLEAN = "========= COMPUTE-SANITIZER\nlaunched\n========= ERROR SUMMARY: 0 errors\n"


def test_what_is_found_and_where() -> None:
    report = parse(MEMCHECK)
    assert report.errors == 2
    assert report.found[0] == Found("Invalid __global__ write of size 4 bytes", "band_forward")
    assert report.found[1].kind.startswith("Program hit cudaErrorLaunchFailure")
    (race,) = parse(RACECHECK).found
    assert race.kernel == "span_forward"
    assert parse(RACECHECK).errors == 1
    assert parse(CLEAN) == Report(0, ())


def test_a_report_without_its_end_is_no_clean_one() -> None:
    assert parse("========= COMPUTE-SANITIZER\nlaunched\n").errors is None


@pytest.mark.parametrize(("text", "passed"), [(MEMCHECK, False), (RACECHECK, False), (CLEAN, True)])
def test_a_unit_says_what_the_report_says(monkeypatch: Any, tmp_path: Path, text: str, passed: bool) -> None:
    """The stand-in prints a report behind the program; the launches themselves are another test's."""
    report = tmp_path / "report.txt"
    report.write_text(text, encoding="utf-8")
    path = f"{TOOLS / 'device/stand_ins'}:/usr/bin:/bin"
    environment = {"PATH": path, "TRUEBAND_STAND_IN_REPORT": str(report)}
    monkeypatch.setattr(sanitizer, "python", lambda *words: ["echo", "launched"])
    monkeypatch.setenv("PATH", path)
    context = replace(Context(True, environment, tmp_path, lambda part, values: None), seconds=60.0)
    found = sanitizer.of_tool(context, "memcheck")
    assert found["passed"] is passed
    assert found["ended"]
    assert found["kernels"] == sorted({each.kernel for each in parse(text).found if each.kernel})
