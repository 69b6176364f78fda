"""The pytest plugin. It does nothing to a suite that does not use it, and loads nothing before.

`pytest --trueband-target=my_package.kernels:attention` adds a test for each check and dtype of a kernel,
`--trueband-model-target=my_package.models:factory` those of models; `trueband.parametrize_with_checks` does so for a
test function of one's own. The fixture `golden`:

def test_my_layers(golden):
    recording = golden("tests/data/my-model.safetensors")
    recording.assert_close(run(recording.inputs), tap="layer.3", dtype="bfloat16")

    published = golden("sapiens_accuracy")
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trueband.session.gate_seed import SeedOfWorkers, seed_line
from trueband.session.request import add_options

if TYPE_CHECKING:
    from trueband.golden_fixture import GoldenInTest


@pytest.fixture(scope="session")
def golden() -> Callable[[str | Path], GoldenInTest]:
    """A golden by its id in the store of the package, or a recording by its path: see `trueband.golden_fixture`."""
    from trueband.golden_fixture import golden_in_test

    return golden_in_test


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("trueband", "checks of attention kernels and models")
    add = group.addoption
    add(
        "--trueband-target",
        action="append",
        default=[],
        metavar="TARGET",
        help="a kernel to check, module:callable or file.py:callable; may be given more than once",
    )
    add(
        "--trueband-model-target",
        action="append",
        default=[],
        metavar="FACTORY",
        help="models to check, module:factory or file.py:factory, as of `trueband check`; may be given more than once",
    )
    add_options(add, "--trueband-")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "trueband: a check of an attention kernel or a model, from trueband")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(SeedOfWorkers(), "trueband-gate-seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    """The machine that a target is checked on, in a line."""
    if not (config.getoption("trueband_target") or config.getoption("trueband_model_target")):
        return None
    from trueband.reports.machines import in_a_process, short

    return f"trueband: {short(in_a_process(os.environ))}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for mark in metafunc.definition.iter_markers("trueband"):
        if "targets" in mark.kwargs:
            from trueband.pytest_checks import parametrize

            parametrize(metafunc, **mark.kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    option = session.config.getoption
    if option("trueband_target") or option("trueband_model_target"):
        from trueband.pytest_checks import collect

        items.extend(collect(session))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> None:
    if item.get_closest_marker("trueband") is not None:
        from trueband.pytest_checks import keep_record

        keep_record(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    line = seed_line(terminalreporter.config)
    if line:
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    checks = sys.modules.get("trueband.pytest_checks")
    if checks is not None:
        checks.close(config)
