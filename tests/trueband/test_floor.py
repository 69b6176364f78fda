"""A package that is too old is told in one line, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from trueband.starting import floor


def trueband(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trueband", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def installed(folder: Path, name: str, version: str) -> None:
    """A distribution that is found before all others, and has no module."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


@pytest.mark.parametrize("arguments", [("check",), ("targets",), ("no such command",)])
def test_an_old_torch(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Told before torch is imported: here it could not be."""
    installed(tmp_path, "torch", "2.5.1+cu124")
    (tmp_path / "torch.py").write_text("raise OverflowError\n", encoding="utf-8")
    done = trueband(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trueband: error: torch: expected >= 2.6, got 2.5.1+cu124\n"


def test_every_package_that_is_too_old(tmp_path: Path) -> None:
    for name, version in (("torch", "2.5.1"), ("numpy", "1.26.4"), ("rich", "9")):
        installed(tmp_path, name, version)
    told = trueband(tmp_path, "targets").stderr
    for part in (
        "numpy: expected >= 2, got 1.26.4",
        "rich: expected >= 13, got 9",
        "torch: expected >= 2.6, got 2.5.1",
    ):
        assert part in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("version", ["2.6", "2.6.0", "2.6.0rc1", "2.10.0+cpu", "3"])
def test_what_is_new_enough(tmp_path: Path, version: str) -> None:
    installed(tmp_path, "torch", version)
    assert trueband(tmp_path, "--version").returncode == 0


def test_extras_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=99; extra == 'later'", "nothing-like-it>=1"])
    assert floor.too_old() is None
