"""The version is written in one place, trueband/__init__.py; every other mention is compared with it."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

import trueband


def versions_assigned(source: str) -> list[str]:
    """String constants that a Python source assigns to `__version__`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets):
                found.append(str(node.value.value))
    return found


def newest_in_changelog(text: str) -> str:
    """The first version heading after "Unreleased"."""
    headings = re.findall(r"^## \[([^\]]+)\]", text, flags=re.MULTILINE)
    return next(heading for heading in headings if heading != "Unreleased")


def test_one_source_file_holds_the_version(source_files: dict[str, Path], pyproject: dict[str, Any]) -> None:
    holders = {
        name: versions_assigned(path.read_text(encoding="utf-8"))
        for name, path in source_files.items()
        if path.suffix == ".py"
    }
    assert {name: found for name, found in holders.items() if found} == {"trueband/__init__.py": [trueband.__version__]}
    assert "version" not in pyproject["project"]
    assert pyproject["project"]["dynamic"] == ["version"]


@pytest.mark.parametrize("source", ["__version__ = '9'", "__version__: str = '9'", "if True:\n    __version__ = '9'"])
def test_a_second_place_would_be_seen(source: str) -> None:
    assert versions_assigned(source) == ["9"]


def test_installed_metadata_and_wheel_agree(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    built = email.message_from_bytes(wheel.read(name))["Version"]
    assert built == importlib.metadata.version("trueband") == trueband.__version__


def test_changelog_has_a_chapter_for_this_version(checkout: Path) -> None:
    assert newest_in_changelog((checkout / "CHANGELOG.md").read_text(encoding="utf-8")) == trueband.__version__


def test_citation_names_no_version_of_its_own(checkout: Path) -> None:
    text = (checkout / "CITATION.cff").read_text(encoding="utf-8")
    assert text.startswith("cff-version: 1.2.0\n")
    assert not re.search(r"^version:", text, flags=re.MULTILINE)
