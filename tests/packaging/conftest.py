"""What the tests of the packaging read: the checkout that holds them, and a wheel built from a copy of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("trueband", "reference", "optimized", "properties", "golden")


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def hidden_or_cache(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


@pytest.fixture(scope="session")
def source_files() -> dict[str, Path]:
    """Every file below the five folders, by its path in the wheel. What git ignores (caches) is left out."""
    files = {}
    for folder in FOLDERS:
        for path in (CHECKOUT / folder).rglob("*"):
            if path.is_file() and not hidden_or_cache(path.relative_to(CHECKOUT)):
                inside = path.relative_to(CHECKOUT)
                files[str(inside if folder == "trueband" else "trueband" / inside)] = path
    return files


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, source_files: dict[str, Path]) -> zipfile.ZipFile:
    """The wheel of the checkout, built without the network and without leftovers of earlier builds."""
    copy, output = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for path in source_files.values():
        target = copy / path.relative_to(CHECKOUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(CHECKOUT / name, copy / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", build, output], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = output.glob("*.whl")
    return zipfile.ZipFile(path)
