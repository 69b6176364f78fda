"""What the installed triton is too old or too new for is refused in one line, before any work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trueband.properties.gpu.triton_version import COMPILE, EXECUTE, INSTALL, SANITIZE, TESTED, installed, refusal

# What a user does with what `TESTED` names.
COMMANDS = {
    SANITIZE: ["sanitize"],
    COMPILE: ["compile"],
    EXECUTE[80]: ["check", "ptx-sm80", "--cases", "1"],
    EXECUTE[90]: ["bench", "--roofline", "h100"],
}


def triton_of(folder: Path, version: str) -> dict[str, str]:
    """An environment in which triton is of this version, and breaks whatever imports it."""
    package = folder / "triton"
    package.mkdir()
    (package / "__init__.py").write_text(f"__version__ = '{version}'\nraise OverflowError\n", encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize("version", ["3.1.0", "3.10.0", "2.3", "3.9.0+git1234"])
@pytest.mark.parametrize("what", COMMANDS)
def test_a_version_that_is_not_known(tmp_path: Path, what: str, version: str) -> None:
    environment = triton_of(tmp_path, version)
    command = [sys.executable, "-m", "trueband", *COMMANDS[what]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    (first, last), (line,) = TESTED[what], done.stderr.splitlines()
    versions = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    told = f"triton: expected {versions} for {what}, got {version}: pip install 'triton>="
    assert (done.returncode, done.stdout) == (2, "")
    assert line.removeprefix("trueband: error: ").removeprefix("--roofline: ").startswith(told)


def test_the_version_is_that_of_the_package_that_would_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton_of(tmp_path, "3.4.1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)  # a test before may have imported it
    assert installed() == "3.4.1"
    assert refusal(SANITIZE) is None
    assert str(refusal(COMPILE)).startswith("triton: expected 3.5 to 3.8 for `trueband compile`, got 3.4.1: ")
    (tmp_path / "triton" / "__init__.py").write_text("", encoding="utf-8")
    assert "got an unknown version" in str(refusal(SANITIZE))


def test_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {refusal(what) for what in TESTED} == {INSTALL}
