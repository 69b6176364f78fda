"""What the installed triton is too old or too new for is refused in one line, before any work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trueband.cli import main
from trueband.properties.gpu.triton_version import COMPILE, EXECUTE, INSTALL, SANITIZE, TESTED, installed, refusal

# What a user does with what `TESTED` names.
COMMANDS = {
    SANITIZE: ["sanitize"],
    COMPILE: ["compile"],
    EXECUTE[80]: ["check", "ptx-sm80", "--cases", "1"],
    EXECUTE[90]: ["bench", "--roofline", "h100"],
}


@pytest.fixture
def triton_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes triton one of this version, which breaks whatever imports it, here and in processes that are started."""

    def make(version: str) -> None:
        package = tmp_path / "triton"
        package.mkdir()
        (package / "__init__.py").write_text(f"__version__ = '{version}'\nraise OverflowError\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.delitem(sys.modules, "triton", raising=False)  # a test before may have imported it

    return make


@pytest.mark.parametrize("version", ["3.1.0", "3.10.0", "2.3", "3.9.0+git1234"])
@pytest.mark.parametrize("what", COMMANDS)
def test_a_version_that_is_not_known(
    what: str, version: str, triton_of: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    triton_of(version)
    code, told = main(COMMANDS[what]), capfd.readouterr()
    (first, last), (line,) = TESTED[what], told.err.splitlines()
    versions = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    expected = f"triton: expected {versions} for {what}, got {version}: pip install 'triton>="
    assert (code, told.out) == (2, "")
    assert line.removeprefix("trueband: error: ").removeprefix("--roofline: ").startswith(expected)


def test_the_version_is_that_of_the_package_that_would_be_imported(
    tmp_path: Path, triton_of: Callable[[str], None]
) -> None:
    triton_of("3.4.1")
    assert installed() == "3.4.1"
    assert refusal(SANITIZE) is None
    assert str(refusal(COMPILE)).startswith("triton: expected 3.5 to 3.8 for `trueband compile`, got 3.4.1: ")
    (tmp_path / "triton" / "__init__.py").write_text("", encoding="utf-8")
    assert "got an unknown version" in str(refusal(SANITIZE))


def test_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {refusal(what) for what in TESTED} == {INSTALL}
