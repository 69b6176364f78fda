"""The wheel holds every file of the five folders, byte for byte, and nothing else."""

from __future__ import annotations

import email
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest


def shipped(wheel: zipfile.ZipFile) -> dict[str, bytes]:
    """Name to content of the wheel's files, without its metadata."""
    return {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}


def metadata(wheel: zipfile.ZipFile, name: str) -> bytes:
    (path,) = (path for path in wheel.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{re.escape(name)}", path))
    return wheel.read(path)


def differences(shipped: dict[str, bytes], source: dict[str, bytes]) -> list[str]:
    problems = [f"{name}: missing from the wheel" for name in sorted(source.keys() - shipped.keys())]
    problems += [f"{name}: in the wheel only" for name in sorted(shipped.keys() - source.keys())]
    both = sorted(source.keys() & shipped.keys())
    return problems + [f"{name}: changed in the wheel" for name in both if source[name] != shipped[name]]


def test_every_source_and_data_file_is_shipped(wheel: zipfile.ZipFile, source_files: dict[str, Path]) -> None:
    source = {name: path.read_bytes() for name, path in source_files.items()}
    assert "trueband/reference/attention.py" in source
    assert differences(shipped(wheel), source) == []


@pytest.mark.parametrize(
    ("wrong_wheel", "said"),
    [
        ({"a.py": b"1"}, ["b.json: missing from the wheel"]),
        ({"a.py": b"1", "b.json": b"{}", "c.py": b""}, ["c.py: in the wheel only"]),
        ({"a.py": b"2", "b.json": b"{}"}, ["a.py: changed in the wheel"]),
    ],
    ids=["forgotten data file", "leftover of an earlier build", "stale copy"],
)
def test_a_wrong_wheel_is_seen(wrong_wheel: dict[str, bytes], said: list[str]) -> None:
    assert differences(wrong_wheel, {"a.py": b"1", "b.json": b"{}"}) == said


def test_license_is_shipped(wheel: zipfile.ZipFile, checkout: Path) -> None:
    text = metadata(wheel, "licenses/LICENSE")
    assert text == (checkout / "LICENSE").read_bytes()
    assert b"Apache License" in text
    assert b"END OF TERMS AND CONDITIONS" in text
    assert email.message_from_bytes(metadata(wheel, "METADATA"))["License-Expression"] == "Apache-2.0"


def test_readme_is_the_long_description(wheel: zipfile.ZipFile, checkout: Path) -> None:
    description = email.message_from_bytes(metadata(wheel, "METADATA")).get_payload()
    assert description == (checkout / "README.md").read_text(encoding="utf-8")


def test_console_script_is_declared(wheel: zipfile.ZipFile, pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["scripts"] == {"trueband": "trueband.cli:main"}
    assert b"trueband = trueband.cli:main" in metadata(wheel, "entry_points.txt")
