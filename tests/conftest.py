"""Rules for all tests: the same cases in every run, no clock in a verdict, and no test that quietly does not run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from trueband.starting.threads import use_one

use_one()  # the workers share the cores; before anything imports numpy

from trueband.properties.gpu.triton_version import numbers, refusal  # noqa: E402 - it imports numpy

settings.register_profile(
    "gate",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gate")

# The files that take longest, the longest first: a file is run by one worker, and one that began last would leave the
# others idle. What is not listed comes after, in the order of folders and names.
LONGEST = (
    "trueband/test_three_fronts.py",
    "faults/test_faults.py",
    "checks/test_machine_like.py",
    "triton/test_interpreted.py",
    "trueband/test_check_command.py",
    "device/test_rehearsal.py",
    "ptx/test_planted.py",
    "models/test_model_faults.py",
    "gpu/test_compile_command.py",
    "attention/test_gradients.py",
    "golden/test_sigma.py",
    "attention/test_addresses.py",
    "checks/test_legal_blas.py",
    "trueband/test_pytest_plugin.py",
    "recordings/test_page.py",
    "trueband/test_bench_command.py",
    "golden/test_witnesses.py",
    "trueband/test_faults_command.py",
    "gpu/test_sanitizer.py",
    "reference/test_gradients.py",
    "docs/test_examples.py",
)
NEEDS = "needs_triton(part): a test of a part of the package that is not for every triton, see triton_version.TESTED"
NIGHTLY = "nightly: left out but with --nightly: more cases of what another test shows in fewer"
NEEDS_TORCH = "needs_torch(version): a test of what an older torch, of those that the package allows, cannot do"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", NEEDS)
    config.addinivalue_line("markers", NEEDS_TORCH)
    config.addinivalue_line("markers", NIGHTLY)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="also what takes minutes each: more of the same evidence")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; tests that the installed triton cannot run are left out, and counted: what they test
    refuses it, in one line.

    With the triton of constraints.txt, and so in the gate, none is: tests/packaging/test_triton_versions.py.
    """
    items.sort(key=lambda item: place_of(item.path))
    early = [] if config.getoption("--nightly") else [item for item in items if item.get_closest_marker("nightly")]
    unfit = [*early, *(item for item in items if told_unfit(item))]
    if unfit:
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if item not in unfit]


def place_of(file: Path) -> int:
    """Among `LONGEST`, or behind them."""
    name = "/".join(file.parts[-2:])
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def told_unfit(item: pytest.Item) -> list[str]:
    """Why the installed triton or torch cannot run a test; nothing when it can."""
    told = [refusal(marker.args[0]) for marker in item.iter_markers("needs_triton")]
    asked = [marker.args[0] for marker in item.iter_markers("needs_torch")]
    told += [f"torch: expected {least} or newer" for least in asked if numbers(version("torch")) < numbers(least)]
    return [each for each in told if each is not None]


# Takes an interrupt as every command does, and becomes the command; whoever started the tests may have told them to
# ignore it, as a shell tells what it starts in the background, and that is inherited.
AS_FROM_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="session")
def as_from_a_terminal() -> Callable[[list[str]], list[str]]:
    """Makes of a command one that an interrupt reaches, however the tests were started; it begins with a path."""
    return lambda command: [sys.executable, "-c", AS_FROM_A_TERMINAL, *command]


@pytest.fixture
def trueband_here(capfd: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `trueband ...` in this process, which saves the start of another one; what it prints is caught as a whole,
    that of processes it starts included. What is about the process itself starts `python -m trueband`.
    """
    from trueband.cli import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        given = [str(each) for each in arguments]
        capfd.readouterr()
        try:
            code: object = main(given)
        except SystemExit as ended:  # argparse's
            code = ended.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(given, code, *capfd.readouterr())

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A test that skips itself proves nothing: it fails, saying why it could not run."""
    return skipped_is_failed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """The same for a file that skips itself while it is collected."""
    return skipped_is_failed((yield))


def skipped_is_failed(report: Any) -> Any:
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which this suite does not allow: {report.longrepr}"
    return report
