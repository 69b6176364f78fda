"""Where the installed packages' sources are: the checkout's when editable, the wheel's otherwise."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGES = ("trueband", "trueband.reference", "trueband.optimized", "trueband.properties", "trueband.golden")


def modules_of(package: str) -> dict[str, Path]:
    """Module name to source file, for a package and everything below it (by the files, without importing them)."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    top = Path(spec.origin).parent
    found = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top).with_suffix("").parts
        found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@pytest.fixture(scope="session")
def sources() -> dict[str, Path]:
    """Every module of trueband."""
    return {name: path for package in PACKAGES for name, path in modules_of(package).items()}
